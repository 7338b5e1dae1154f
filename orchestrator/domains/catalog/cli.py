"""The command line's door to the catalog: `orchestrator connectors`. Needs no database."""

from typing import Annotated, Any

import typer

from orchestrator.domains.catalog import rules, service
from orchestrator.domains.catalog.service import Catalog
from orchestrator.domains.catalog.types import Connector, FilledBy, FormField, Kind, SignIn, Status
from orchestrator.drivers.inject import of_command
from orchestrator.kernel import console
from orchestrator.kernel.console import Json
from orchestrator.kernel.settings import project_root

app = typer.Typer(no_args_is_help=True, help="See what can be connected, and what each connector asks for.")

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
    """Everything that can be connected."""
    catalog = _catalog()
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
        console.show_table(columns, rows, empty="There is no connector file in schemas/connectors.")
    _name_broken(catalog)


@app.command()
def show(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="As connectors list names it.")],
    *,
    variant: Annotated[str | None, typer.Option(help="Show the fields of this plugin, not of the default one.")] = None,
    as_json: Json = False,
) -> None:
    """One connector: ways to sign in, fields, variants, checks."""
    connector = _catalog().get(name)
    chosen = rules.variant_of(connector, variant or connector.default_variant).name
    ways = {way.auth_type: way for way in connector.sign_ins.values() if chosen in way.variants}
    apps = frozenset(of_command(context).settings.oauth_apps)
    if as_json:
        console.show_json(_document(connector, chosen, ways))
        return
    console.show_facts(
        {
            connector.title: connector.description,
            "name": connector.name,
            "kind": f"{connector.kind.value}, {connector.category}",
            "status": f"{_STATUS[connector.status]}, plan {connector.plan}",
            "publisher": connector.publisher,
            "documentation": connector.docs_url,
        }
    )
    _show_ways(connector, ways, apps)
    _show_fields(connector, chosen)
    _show_variants(connector)
    if connector.checks:
        _heading("What a test checks")
        steps = [check.title for check in connector.checks] + [f"Read a first record with {connector.variant.plugin}"]
        console.show_table(("#", "check"), list(enumerate(steps, 1)), empty="", numeric=["#"])
    verb = "orchestrator add" if connector.kind is Kind.SOURCE else "Used as a destination:"
    console.say(f"\nAdd it: {verb} {connector.name}" if connector.kind is Kind.SOURCE else "")


def _catalog() -> Catalog:
    return service.load(project_root() / "schemas" / "connectors")
