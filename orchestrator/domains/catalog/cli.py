"""The command line's door to the catalog: `orchestrator connectors`. Needs no database."""

from typing import Annotated, Any

import typer

from orchestrator.domains.catalog import rules, service
from orchestrator.domains.catalog.service import Catalog
from orchestrator.domains.catalog.types import Choice, Connector, FilledBy, FormField, Kind, Status
from orchestrator.kernel import console
from orchestrator.kernel.console import Json

app = typer.Typer(no_args_is_help=True, help="List what can be connected, and what it asks for.")

_STATUS = {
    Status.AVAILABLE: "● available",
    Status.BETA: "◐ beta",
    Status.COMING_SOON: "○ coming soon",
    Status.DEPRECATED: "⚠ deprecated",
}


def mount(root: typer.Typer) -> None:
    """Add the commands of this domain."""
    root.add_typer(app, name="connectors")


@app.command("list")
def list_(
    *,
    kind: Annotated[Kind | None, typer.Option(help="Only sources, or only destinations.")] = None,
    as_json: Json = False,
) -> None:
    """List everything that can be connected."""
    catalog = service.installed()
    kinds = (kind,) if kind else (Kind.SOURCE, Kind.DESTINATION)
    found = [connector for one in kinds for connector in catalog.of(one)]
    if as_json:
        console.show_json([_card(connector) for connector in found])
    else:
        rows = [
            (one.name, one.title, one.kind.value, one.category, _STATUS[one.status], one.plan, ", ".join(one.variants))
            for one in found
        ]
        columns = ("name", "title", "kind", "category", "status", "plan", "variants")
        empty = "There is no connector file in schemas/connectors."
        console.show_table(columns, rows, empty=empty, spare=("plan", "category"))
    _name_broken(catalog)


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="CONNECTOR", help="As `connectors list` names it.")],
    *,
    variant: Annotated[str | None, typer.Option(help="Show the fields of this plugin, not of the default one.")] = None,
    as_json: Json = False,
) -> None:
    """Show a connector: sign-in, fields, variants, checks."""
    connector = service.installed().get(name)
    chosen = rules.variant_of(connector, variant or connector.default_variant).name
    if as_json:
        console.show_json(_document(connector, chosen))
        return
    _show_card(connector)
    branches = _branches(connector, chosen)
    shared = [field for field in rules.fields(connector, {}, variant=chosen) if field.path[0] not in branches]
    for choice, ways in branches.values():
        console.show_heading(choice.title)
        for way, its_fields in ways:
            console.show_text(f"{way.label} ({choice.name}={way.value})")
            console.show_text("", way.help)
            _show_fields(its_fields, below=True)
    _show_fields([field for field in shared if not field.advanced], heading="Fields")
    _show_fields([field for field in shared if field.advanced], heading="Advanced")
    _show_variants(connector)
    _show_checks(connector)
    if connector.kind is Kind.SOURCE:
        console.say(f"\nAdd it: orchestrator add {connector.name}")


def _name_broken(catalog: Catalog) -> None:
    for file in catalog.broken:
        for reason in file.reasons:
            console.say(f"⚠ {file.file} can't be used: {reason}")


def _show_card(connector: Connector) -> None:
    console.show_facts(
        {
            connector.title: connector.description,
            "name": connector.name,
            "kind": f"{connector.kind.value}, {connector.category}",
            "status": f"{_STATUS[connector.status]}, plan {connector.plan}",
            "publisher": connector.publisher,
            "docs": connector.docs_url,
        }
    )


_Way = tuple[Choice, list[FormField]]


def _branches(connector: Connector, variant: str) -> dict[str, tuple[FormField, list[_Way]]]:
    """Every choice that decides what is asked next: its question, and the fields of each answer."""
    found: dict[str, tuple[FormField, list[_Way]]] = {}
    for field in rules.fields(connector, {}, variant=variant):
        if field.schema.get("oneOf"):
            *parents, tag = field.path
            ways = [
                (choice, _fields_of(connector, variant, tuple(parents), tag, choice.value)) for choice in field.choices
            ]
            found[field.path[0]] = (field, ways)
    return found


def _fields_of(connector: Connector, variant: str, parents: tuple[str, ...], tag: str, answer: str) -> list[FormField]:
    values: Any = {tag: answer}
    for name in reversed(parents):
        values = {name: values}
    asked = rules.fields(connector, values, variant=variant)
    return [field for field in asked if field.path[: len(parents)] == parents and field.path[-1] != tag]


def _show_fields(fields: list[FormField], *, heading: str = "", below: bool = False) -> None:
    """Below a way to sign in the table goes without headings, its columns where those of the other ways are."""
    if not fields:
        return
    if heading:
        console.show_heading(heading)
    shape = "  {:<20}" if below else "{}"
    rows = [
        (shape.format(field.name), _demand(field).ljust(16 if below else 0), _default(field), _meaning(field))
        for field in fields
    ]
    columns = ("field", "", "default", "what it is")
    console.show_table(columns, rows, empty="", header=not below, below="" if below else "what it is")


def _demand(field: FormField) -> str:
    words = ["required"] if field.required else []
    return ", ".join([*words, "secret"] if field.secret else words)


def _default(field: FormField) -> str:
    if field.default is None:
        return ""
    return ("yes" if field.default else "no") if isinstance(field.default, bool) else str(field.default)


def _meaning(field: FormField) -> str:
    values = f" ({', '.join(choice.value for choice in field.choices)})" if field.choices else ""
    filled = _FILLED[field.filled_by] if field.filled_by else ""
    sentences = (f"{field.title}{values}.", field.help, filled)
    return " ".join(sentence for sentence in sentences if sentence)


_FILLED = {
    FilledBy.OAUTH_APP: "From the OAuth app you registered.",
    FilledBy.OAUTH_CALLBACK: "From the sign-in.",
}


def _show_variants(connector: Connector) -> None:
    if len(connector.variants) > 1:
        console.show_heading("Variants")
        rows = [
            (one.name + (" (default)" if one.name == connector.default_variant else ""), one.plugin, one.description)
            for one in connector.variants.values()
        ]
        console.show_table(("variant", "plugin", ""), rows, empty="")


def _show_checks(connector: Connector) -> None:
    if connector.kind is Kind.SOURCE:
        console.show_heading("What a test checks")
        for at, title in enumerate(_checks(connector), 1):
            console.show_text(f"{at}  {title}")


def _checks(connector: Connector) -> list[str]:
    """What a connection test goes through; starting the plugin is always last."""
    return [*(check.title for check in connector.checks), f"Read a first record with {connector.variant.plugin}"]


def _card(connector: Connector) -> dict[str, Any]:
    return {
        "name": connector.name,
        "title": connector.title,
        "kind": connector.kind,
        "category": connector.category,
        "description": connector.description,
        "publisher": connector.publisher,
        "status": connector.status,
        "plan": connector.plan,
        "capabilities": connector.capabilities,
        "variants": tuple(connector.variants),
        "default_variant": connector.default_variant,
        "docs_url": connector.docs_url,
    }


def _document(connector: Connector, variant: str) -> dict[str, Any]:
    branches = _branches(connector, variant)
    return {
        **_card(connector),
        "choices": [
            {
                "path": choice.name,
                "title": choice.title,
                "ways": [
                    {
                        "value": way.value,
                        "title": way.label,
                        "help": way.help,
                        "fields": [_field_json(field) for field in fields],
                    }
                    for way, fields in ways
                ],
            }
            for choice, ways in branches.values()
        ],
        "fields": [
            _field_json(field)
            for field in rules.fields(connector, {}, variant=variant)
            if field.path[0] not in branches
        ],
        "checks": _checks(connector) if connector.kind is Kind.SOURCE else [],
    }


def _field_json(field: FormField) -> dict[str, Any]:
    return {
        "path": field.name,
        "title": field.title,
        "kind": field.kind,
        "required": field.required,
        "secret": field.secret,
        "default": field.default,
        "help": field.help,
        "example": field.placeholder,
        "choices": [choice.value for choice in field.choices],
        "group": field.group,
        "advanced": field.advanced,
        "filled_by": field.filled_by,
    }
