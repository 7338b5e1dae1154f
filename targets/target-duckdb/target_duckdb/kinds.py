"""Which DuckDB type a Singer property has, how its texts are read, and when a column must become wider to hold it."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import reduce
from typing import Any, Final


class Kind(StrEnum):
    """What columns we make can hold; the value is the SQL type, as DuckDB says it."""

    TEXT = "VARCHAR"
    BIGINT = "BIGINT"
    DECIMAL = "DECIMAL(38,18)"
    DOUBLE = "DOUBLE"
    BOOLEAN = "BOOLEAN"
    DATE = "DATE"
    TIME = "TIME"
    TIMESTAMP = "TIMESTAMP WITH TIME ZONE"
    UUID = "UUID"
    JSON = "JSON"


_PLAIN: Final = {
    "integer": Kind.BIGINT,
    "number": Kind.DECIMAL,
    "boolean": Kind.BOOLEAN,
    "object": Kind.JSON,
    "array": Kind.JSON,
    "string": Kind.TEXT,
}
_FORMATS: Final = {
    "date-time": Kind.TIMESTAMP,
    "date": Kind.DATE,
    "time": Kind.TIME,
    "uuid": Kind.UUID,
    "x-singer.decimal": Kind.DECIMAL,  # source: singer-sdk, DecimalType
}
_INTEGERS: Final = frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT"})
_HOLDS: Final[Mapping[Kind, frozenset[str]]] = {  # types of existing columns that hold every value of the kind
    Kind.BIGINT: frozenset({"HUGEINT", Kind.DECIMAL, "DOUBLE", "FLOAT"}),
    Kind.DECIMAL: frozenset({"DOUBLE", "FLOAT"}),
    Kind.DOUBLE: frozenset({"FLOAT"}),
    Kind.DATE: frozenset({Kind.TIMESTAMP, "TIMESTAMP"}),
    Kind.TIMESTAMP: frozenset({"TIMESTAMP"}),
}
_WIDER: Final[Mapping[Kind, frozenset[str]]] = {  # types that become the kind's own
    Kind.BIGINT: _INTEGERS,
    Kind.DECIMAL: _INTEGERS,
    Kind.DOUBLE: _INTEGERS | {Kind.DECIMAL},
    Kind.TIMESTAMP: frozenset({"DATE"}),
}
_LONGEST_EXPONENT: Final = 22  # letters
_KNOWN: Final = _INTEGERS.union(Kind, *_HOLDS.values())


def kind_of(schema: object) -> Kind:
    """The kind of a property, whatever JSON Schema says about it; TEXT where it says nothing."""
    found = list(dict.fromkeys(_kinds(schema)))
    formatted = [kind for kind in found if kind in {Kind.TIMESTAMP, Kind.DATE, Kind.TIME}]
    if len(formatted) == 1 and set(found) == {*formatted, Kind.TEXT}:  # "a date-time, or else a string"
        return formatted[0]
    return reduce(_join, found) if found else Kind.TEXT


def widened(existing: str, wanted: Kind) -> str | None:
    """The type an existing column must get so that it holds the kind too; None if it can stay.

    existing: as duckdb_columns() says it. A type we never make was chosen by somebody: it stays.
    """
    if existing.startswith("DECIMAL") and existing != Kind.DECIMAL and wanted in {Kind.BIGINT, Kind.DECIMAL}:
        return Kind.DECIMAL.value  # a scale would round silently
    if existing not in _KNOWN or existing in {wanted, Kind.TEXT} or existing in _HOLDS.get(wanted, ()):
        return None
    return (wanted if existing in _WIDER.get(wanted, ()) else Kind.TEXT).value


def inexact(kind: Kind, text: str) -> str | None:
    """A condition that is true where this text would be rounded, which DuckDB does without a word; None if never.

    A plain number of up to 19 letters always fits DECIMAL(38,18); what is written with an exponent is compared as
    DOUBLE, which is what such numbers were. A whole one (1.2E1) must be the same as DECIMAL(38,18), too, which holds
    each digit of so short a text, unless all of them are beyond its scale; DOUBLE sees those.
    """
    if kind is Kind.BIGINT:
        whole = f"TRY_CAST({text} AS BIGINT)"
        same = " AND ".join(f"TRY_CAST({text} AS {other}) = {whole}" for other in (Kind.DECIMAL, Kind.DOUBLE))
        return (
            rf"(({text} LIKE '%.%' OR {text} ILIKE '%e%') AND {whole} IS NOT NULL"
            rf" AND NOT regexp_full_match({text}, '[+-]?\d+\.0*')"
            rf" AND NOT ({text} ILIKE '%e%' AND length({text}) <= {_LONGEST_EXPONENT} AND {same}))"
        )
    if kind is Kind.DECIMAL:
        return (
            rf"((length({text}) > 19 OR {text} ILIKE '%e%')"
            rf" AND NOT regexp_full_match({text}, '[+-]?\d{{1,20}}(\.\d{{0,18}}0*)?')"
            rf" AND NOT ({text} ILIKE '%e%' AND"
            rf" coalesce(TRY_CAST({text} AS DECIMAL(38,18))::DOUBLE = TRY_CAST({text} AS DOUBLE), false)))"
        )
    return None


def _kinds(schema: object) -> Iterator[Kind]:
    if not isinstance(schema, Mapping):
        return
    types: Any = schema.get("type", ())
    for name in (types,) if isinstance(types, str) else types:
        if name == "string":
            yield _FORMATS.get(schema.get("format", ""), Kind.TEXT)
        elif name in _PLAIN:
            yield _PLAIN[name]
    if not types:
        for word in ("anyOf", "oneOf", "allOf"):
            for branch in schema.get(word, ()):
                yield from _kinds(branch)


def _join(one: Kind, other: Kind) -> Kind:
    both = {one, other}
    if len(both) == 1:
        return one
    if Kind.JSON in both:
        return Kind.JSON
    if both == {Kind.BIGINT, Kind.DECIMAL}:
        return Kind.DECIMAL
    return Kind.TIMESTAMP if both == {Kind.DATE, Kind.TIMESTAMP} else Kind.TEXT
