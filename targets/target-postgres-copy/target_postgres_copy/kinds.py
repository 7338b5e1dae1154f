"""Which Postgres type a Singer property has, and when a column of a table must become wider to hold it."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import reduce
from typing import Any, Final


class Kind(StrEnum):
    """What columns we make can hold; the value is the SQL type."""

    TEXT = "text"
    BIGINT = "bigint"
    NUMERIC = "numeric"
    BOOLEAN = "boolean"
    DATE = "date"
    TIME = "time without time zone"
    TIMESTAMP = "timestamp with time zone"
    UUID = "uuid"
    JSONB = "jsonb"


_PLAIN: Final = {
    "integer": Kind.BIGINT,
    "number": Kind.NUMERIC,
    "boolean": Kind.BOOLEAN,
    "object": Kind.JSONB,
    "array": Kind.JSONB,
    "string": Kind.TEXT,
}
_FORMATS: Final = {
    "date-time": Kind.TIMESTAMP,
    "date": Kind.DATE,
    "time": Kind.TIME,
    "uuid": Kind.UUID,
    "x-singer.decimal": Kind.NUMERIC,  # source: singer-sdk, DecimalType
}
_BRANCHES: Final = ("anyOf", "oneOf", "allOf")
_TEXTS: Final = frozenset({"text", "character varying", "character"})
_STAYS: Final[Mapping[Kind, frozenset[str]]] = {  # types of existing columns that hold every value of the kind
    Kind.TEXT: frozenset(),
    Kind.BIGINT: frozenset({"bigint", "numeric", "double precision", "real"}),
    Kind.NUMERIC: frozenset({"numeric", "double precision", "real"}),
    Kind.BOOLEAN: frozenset({"boolean"}),
    Kind.DATE: frozenset({"date", "timestamp with time zone", "timestamp without time zone"}),
    Kind.TIME: frozenset({"time without time zone", "time with time zone"}),
    Kind.TIMESTAMP: frozenset({"timestamp with time zone", "timestamp without time zone"}),
    Kind.UUID: frozenset({"uuid"}),
    Kind.JSONB: frozenset({"jsonb", "json"}),
}
_WIDER: Final = {
    Kind.BIGINT: {"smallint": Kind.BIGINT, "integer": Kind.BIGINT},
    Kind.NUMERIC: {"smallint": Kind.NUMERIC, "integer": Kind.NUMERIC, "bigint": Kind.NUMERIC},
    Kind.TIMESTAMP: {"date": Kind.TIMESTAMP},
}
_KNOWN: Final = _TEXTS | {"smallint", "integer"}.union(*_STAYS.values())


def kind_of(schema: object) -> Kind:
    """The kind of a property, whatever JSON Schema says about it; TEXT where it says nothing."""
    found = list(dict.fromkeys(_kinds(schema)))
    if len(found) > 1 and Kind.TEXT in found:  # "a date-time, or a string if it is none": the format is the meaning
        formatted = [kind for kind in found if kind in {Kind.TIMESTAMP, Kind.DATE, Kind.TIME}]
        if len(formatted) == 1 and len(found) == 2:  # noqa: PLR2004 - it and TEXT
            return formatted[0]
    return reduce(_join, found) if found else Kind.TEXT


def widened(existing: str, wanted: Kind) -> str | None:
    """The type an existing column must get so that it holds the kind too; None if it can stay.

    existing: as Postgres' format_type says it. A type we never make was chosen by somebody: it stays.
    """
    base, modifier, _ = (*existing.partition("("), "")[:3] if "(" in existing else (existing, "", "")
    base = (base + existing.partition(")")[2]) if modifier else base
    if base not in _KNOWN or (base in _TEXTS and (wanted is not Kind.TEXT or not modifier)):
        return None
    if base == "numeric" and modifier and wanted in {Kind.BIGINT, Kind.NUMERIC}:
        return Kind.NUMERIC.value  # a scale would round silently
    if base in _STAYS[wanted]:
        return None
    return _WIDER.get(wanted, {}).get(base, Kind.TEXT).value


def _kinds(schema: object) -> Iterator[Kind]:
    if not isinstance(schema, Mapping):
        return
    types = schema.get("type", ())
    for name in (types,) if isinstance(types, str) else types:
        if name == "string":
            yield _FORMATS.get(schema.get("format", ""), Kind.TEXT)
        elif name in _PLAIN:
            yield _PLAIN[name]
    if not types:
        yield from _branches(schema)


def _branches(schema: Mapping[str, Any]) -> Iterator[Kind]:
    for word in _BRANCHES:
        for branch in schema.get(word, ()):
            yield from _kinds(branch)


def _join(one: Kind, other: Kind) -> Kind:
    if one is other:
        return one
    if Kind.JSONB in {one, other}:
        return Kind.JSONB
    if {one, other} == {Kind.BIGINT, Kind.NUMERIC}:
        return Kind.NUMERIC
    if {one, other} == {Kind.DATE, Kind.TIMESTAMP}:
        return Kind.TIMESTAMP
    return Kind.TEXT
