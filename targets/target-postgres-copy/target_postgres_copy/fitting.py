"""Values on their way into columns whose type somebody else chose: as they are, or not at all.

Postgres itself refuses most of what a type cannot hold. What it would round, cut or read in another way without a word
is staged as the type that the property has, looked at, and then converted. Tables of our own types have none of it.
"""

import re
from collections.abc import Iterable
from typing import Any, Final, LiteralString

from psycopg import Connection, sql
from psycopg.errors import DataError

from target_postgres_copy.errors import LoadError, MisfitError
from target_postgres_copy.kinds import Kind
from target_postgres_copy.layout import Column
from target_postgres_copy.refusals import misfit
from target_postgres_copy.tables import ColumnType

_MODIFIER: Final = re.compile(r"\([\d,]+\)")
_CUT: Final = frozenset({"name", '"char"', "money"})
_PLAIN_BYTES: Final = r"^([^\\]*|\\x([0-9a-fA-F]{2})*)$"  # the rest are escapes of Postgres's own
_STRICT: Final = ("bit", "character")  # COPY refuses what is longer; a cast would cut it


def staged(column: Column, type_: ColumnType | None) -> str:
    """What a column is while it is staged: the table's type, which judges values, unless it would change some."""
    if type_ is None:
        return column.kind.value
    base = type_.base
    if base == "time with time zone":
        return type_.name  # ours would leave the zone out
    if base.startswith("timestamp") or base.endswith("[]") or _change(column, base, sql.SQL("")) is not None:
        return column.kind.value
    return type_.name


def converted(column: Column, type_: ColumnType | None, value: sql.Composable) -> sql.Composable:
    """A value of the property's own type, for the table's column; read as COPY would read it.

    It has no modifier yet, so that Postgres refuses a text that is too long, which an explicit cast would cut.
    """
    if type_ is None or type_.base == column.kind.value:
        return value
    if type_.base.endswith("[]") and column.kind is Kind.JSONB:
        return _array(type_.base, value)
    if _in_utc(column, type_):
        return sql.SQL("{}::timestamp without time zone").format(value)
    return _read(type_.base, value)


def judge(
    connection: Connection[Any],
    where: sql.Composable,
    columns: Iterable[tuple[Column, ColumnType]],
    label: str,
) -> None:
    """MisfitError for the first column that would not hold exactly what came for it.

    where:   a table whose columns have the properties' own types
    columns: those to be looked at, and their types in the table that is meant
    label:   that table, for messages
    """
    for column, type_ in columns:
        if _in_utc(column, type_):
            continue  # it holds them all, and many tables have many such columns
        name = sql.Identifier("s", column.name)
        changed = _change(column, type_.base, name) or sql.SQL("false")
        statement = sql.SQL("SELECT bool_or({}), count({}) FROM {} AS s WHERE {} IS NOT NULL").format(
            changed, converted(column, type_, name), where, name
        )
        try:
            with connection.transaction():
                found = connection.execute(statement).fetchone()
        except DataError as error:
            raise misfit(f' column "{column.name}"', label, error.sqlstate) from error
        if found and found[0]:
            raise _inexact(column, type_, label)


def _in_utc(column: Column, type_: ColumnType) -> bool:
    return column.kind is Kind.TIMESTAMP and type_.base == "timestamp without time zone"


def _change(column: Column, base: str, value: sql.Composable) -> sql.Composable | None:
    """A condition that is true where the type would hold something else than what came; None if never."""
    if base.endswith("[]") and column.kind is Kind.JSONB:
        return _changed_array(base, value)
    if base == "bytea":
        return sql.SQL("{}::text !~ {}").format(value, sql.Literal(_PLAIN_BYTES))
    compared = _comparison(column.kind, base)
    if compared is None:
        return None
    return sql.SQL(compared).format(read=_read(base, value), value=value, base=sql.SQL(base))


def _comparison(kind: Kind, base: str) -> LiteralString | None:
    compared: LiteralString | None = None
    if base == "real":  # which holds 0.1 also where it comes as a double precision of it: 0.10000000149011612
        compared = "{value}::text::numeric NOT IN ({read}::text::numeric, {read}::double precision::text::numeric)"
    elif base == "double precision":
        compared = "{read}::text::numeric <> {value}::text::numeric"
    elif base == "money" and kind in {Kind.BIGINT, Kind.NUMERIC}:
        compared = "{read}::numeric <> {value}"
    elif base in _CUT:
        compared = "{read}::text <> {value}::text"
    elif base == "date" and kind is not Kind.DATE:
        compared = "{read}::timestamp with time zone <> {value}::text::timestamp with time zone"
    elif kind is Kind.TIME and base.endswith("with time zone"):
        compared = "true"  # the zone is gone already
    elif _rounds(base):
        compared = "{read} <> {read}::{base}"
    return compared


def _read(base: str, value: sql.Composable) -> sql.Composable:
    """A value as this type, by way of its text; a timestamp with its zone first, which one without would leave out."""
    zoned = "::timestamp with time zone" if base.startswith("timestamp") else ""
    return sql.SQL("{}::text{}::{}").format(value, sql.SQL(zoned), sql.SQL(_unbounded(base)))


def _array(base: str, value: sql.Composable) -> sql.Composable:
    element = base.removesuffix("[]")
    elements = "jsonb_array_elements" if element == "jsonb" else "jsonb_array_elements_text"
    return sql.SQL("CASE WHEN jsonb_typeof({0}) = 'array' THEN ARRAY(SELECT {1} FROM {2}({0}) AS e) END").format(
        value, _read(element, sql.SQL("e")), sql.SQL(elements)
    )


def _changed_array(base: str, value: sql.Composable) -> sql.Composable:
    made = _array(base, value)
    changed = sql.SQL("jsonb_typeof({}) <> 'array'").format(value)
    if base == "real[]":
        both = sql.SQL("{} OR {} NOT IN (to_jsonb({}), to_jsonb({}::double precision[]))")
        changed = both.format(changed, value, made, made)
    elif _unbounded(base.removesuffix("[]")) in {"double precision", "numeric"}:
        changed = sql.SQL("{} OR to_jsonb({}::{}) <> {}").format(changed, made, sql.SQL(base), value)
    elif _rounds(base):
        changed = sql.SQL("{} OR {} <> {}::{}").format(changed, made, made, sql.SQL(base))
    return changed


def _rounds(base: str) -> bool:
    """Whether a cast to the type rounds without a word. One with a schema is an extension's, and judges by itself."""
    return bool(_MODIFIER.search(base)) and not base.startswith(_STRICT) and "." not in base


def _unbounded(base: str) -> str:
    """The type without a modifier; those that would be one letter long without it, as one of any length."""
    plain = _MODIFIER.sub("", base)
    return f"{plain} varying" if plain in _STRICT else plain  # types come out of the catalog, quoted by Postgres


def _inexact(column: Column, type_: ColumnType, label: str) -> LoadError:
    using = f' USING to_jsonb("{column.name}")' if column.kind is Kind.JSONB else ""
    return MisfitError(
        f'Column "{column.name}" of {label} is {type_.name}, which would change a value that came for it.',
        hint="Give it a type that holds it, then sync again: ALTER TABLE … ALTER COLUMN"
        f' "{column.name}" TYPE {column.kind.value}{using}.',
    )
