"""The questions of a form, and its answers with the defaults filled in."""

from collections.abc import Mapping
from typing import Any

from orchestrator.domains.catalog.rules import walk
from orchestrator.domains.catalog.rules.walk import Leaf, Schema
from orchestrator.domains.catalog.types import Choice, Connector, FieldKind, FilledBy, FormField

_KINDS = {
    "boolean": FieldKind.BOOLEAN,
    "integer": FieldKind.INTEGER,
    "number": FieldKind.NUMBER,
    "array": FieldKind.LIST,
    "object": FieldKind.OBJECT,
}


def fields(connector: Connector, values: Mapping[str, Any], *, variant: str | None = None) -> tuple[FormField, ...]:
    """The questions that apply to the answers so far, in form order.

    Ask again with the new answers after a choice: which questions follow depends on it.
    Those with `filled_by` are part of the form but nobody is asked for them.
    """
    groups = {group["id"]: group for group in connector.schema.get("x-groups", [])}
    return tuple(
        _field(leaf, groups.get(leaf.group, {}), variant or connector.default_variant)
        for leaf in walk.leaves(connector, values, variant=variant)
        if not (leaf.branches and len(leaf.branches) == 1)
    )


def completed(connector: Connector, values: Mapping[str, Any], *, variant: str | None = None) -> dict[str, Any]:
    """The answers with defaults for what was left out, and without what was left empty.

    What the form doesn't know stays, so that `validate` can name it.
    """
    answers: dict[str, Any] = _without_blanks(values)
    for leaf in walk.leaves(connector, answers, variant=variant):
        default = _default(leaf, variant or connector.default_variant)
        if default is not None and walk.at(answers, leaf.path) is None and walk.can_hold(answers, leaf.path):
            walk.put(answers, leaf.path, default)
    return answers


def choices(leaf: Leaf) -> tuple[Choice, ...]:
    """The answers to choose from; empty where the question is open."""
    if leaf.branches:
        return tuple(
            Choice(value=walk.tag(leaf.schema, branch), label=branch["title"], help=branch.get("description", ""))
            for branch in leaf.branches
        )
    labels = leaf.schema.get("x-enum-labels", {})
    return tuple(Choice(value=value, label=labels.get(value, value)) for value in leaf.schema.get("enum", []))


def _field(leaf: Leaf, group: Mapping[str, Any], variant: str) -> FormField:
    schema = leaf.schema
    examples = [] if leaf.branches else schema.get("examples", [])
    filled_by = schema.get("x-filled-by")
    return FormField(
        path=leaf.path,
        title=schema["title"],
        kind=kind(leaf),
        required=leaf.required,
        help=schema.get("description", ""),
        placeholder=_placeholder(examples[0]) if examples else "",
        default=_default(leaf, variant),
        choices=choices(leaf),
        group=group.get("title", ""),
        advanced=bool(group.get("collapsed")),
        filled_by=None if filled_by is None else FilledBy(filled_by),
        schema=schema,
    )


def _default(leaf: Leaf, variant: str) -> Any:
    return walk.default_tag(leaf.schema, variant) if leaf.branches else leaf.schema.get("default")


def kind(leaf: Leaf) -> FieldKind:
    """How this question is asked."""
    schema = leaf.schema
    if leaf.branches or "enum" in schema:
        return FieldKind.CHOICE
    return _KINDS.get(schema["type"]) or _text_kind(schema)


def _text_kind(schema: Schema) -> FieldKind:
    multiline = bool(schema.get("x-multiline"))
    if walk.is_secret(schema):
        return FieldKind.MULTILINE_SECRET if multiline else FieldKind.SECRET
    if schema.get("format") == "date":
        return FieldKind.DATE
    return FieldKind.MULTILINE if multiline else FieldKind.TEXT


def _placeholder(example: Any) -> str:
    return ", ".join(str(item) for item in example) if isinstance(example, list) else str(example)


def _without_blanks(values: Any) -> Any:
    if not isinstance(values, Mapping):
        return values
    return {
        name: _without_blanks(value)
        for name, value in values.items()
        if value is not None and not (isinstance(value, str) and value == "")
    }
