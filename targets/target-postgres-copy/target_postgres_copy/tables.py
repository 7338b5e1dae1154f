"""The table of a stream: what is there, making it, and widening it. Every DDL statement is logged."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from textwrap import shorten
from typing import Any, Final, LiteralString

from psycopg import Connection, sql
from psycopg.errors import DuplicateSchema, ProgramLimitExceeded, UniqueViolation

from target_postgres_copy.errors import DestinationError
from target_postgres_copy.kinds import widened
from target_postgres_copy.layout import Column, Layout
from target_postgres_copy.refusals import key_too_long

log: Final = logging.getLogger("target-postgres-copy")

_SHOWN: Final = 200  # characters
_FIND: Final = """
SELECT c.oid::bigint, c.relkind::text,
       array(SELECT a.attname::text FROM pg_index i
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
             WHERE i.indrelid = c.oid AND i.indisprimary),
       (SELECT o.conname::text FROM pg_constraint o WHERE o.conrelid = c.oid AND o.contype = 'p'),
       array(SELECT array_to_string(array(SELECT a.attname::text FROM pg_attribute a
                                          WHERE a.attrelid = c.oid
                                          AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])), chr(31))
             FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate
             AND i.indpred IS NULL AND i.indexprs IS NULL),
       obj_description(c.oid, 'pg_class')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s
"""
_COLUMNS: Final = """
WITH RECURSIVE found AS (
    SELECT attname::text AS name, format_type(atttypid, atttypmod) AS said, atttypid AS type, atttypmod AS modifier,
           CASE WHEN attgenerated <> '' THEN 'EXPRESSION' WHEN attidentity = 'a' THEN 'IDENTITY' END AS computed
    FROM pg_attribute WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT name, said, typbasetype, typtypmod, computed FROM found JOIN pg_type t ON t.oid = type AND typtype = 'd')
SELECT name, said, format_type(type, modifier), computed FROM found
WHERE type NOT IN (SELECT oid FROM pg_type WHERE typtype = 'd')
"""


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A column's type, as format_type says it.

    base:     the same, or what the domain is made of
    computed: EXPRESSION or IDENTITY where Postgres lets nobody store a value
    """

    name: str
    base: str
    computed: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table as Postgres knows it.

    types:        column → type
    primary:      columns of the primary key, and `constraint`, its name
    unique:       sets of columns that are unique together
    comment:      what is said about it
    """

    types: Mapping[str, ColumnType]
    primary: frozenset[str]
    constraint: str | None
    unique: frozenset[frozenset[str]]
    comment: str | None


def named(schema: str, table: str) -> sql.Identifier:
    """schema.table, quoted."""
    return sql.Identifier(schema, table)


def ddl(connection: Connection[Any], statement: LiteralString, *parts: sql.Composable) -> None:
    """Run one statement that changes the schema, and say so in one line that people read to its end."""
    made = sql.SQL(statement).format(*parts)
    connection.execute(made)
    log.info("DDL: %s", shorten(made.as_string(connection), _SHOWN, placeholder=" …"))


def find(connection: Connection[Any], schema: str, table: str) -> Table | None:
    """The table, or None. DestinationError if the name belongs to something else than a table."""
    row = connection.execute(_FIND, (schema, table)).fetchone()
    if row is None:
        return None
    oid, kind, primary, constraint, unique, comment = row
    if kind not in {"r", "p"}:
        raise DestinationError(
            f"{schema}.{table} is not a table, so nothing can be loaded into it.",
            hint="Rename or drop what has that name, or load into another schema.",
        )
    columns = connection.execute(_COLUMNS, (oid,)).fetchall()
    return Table(
        types={name: ColumnType(*facts) for name, *facts in columns},
        primary=frozenset(primary),
        constraint=constraint,
        unique=frozenset(frozenset(names.split("\x1f")) for names in unique),
        comment=comment,
    )


def ensure_schema(connection: Connection[Any], schema: str) -> None:
    """The schema exists afterwards, whoever made it."""
    if connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (schema,)).fetchone():
        return
    try:
        with connection.transaction():
            ddl(connection, "CREATE SCHEMA {}", sql.Identifier(schema))
    except (DuplicateSchema, UniqueViolation):  # another sync was faster
        log.debug("Schema %s was there already.", schema)


def create(connection: Connection[Any], layout: Layout, table: str, *, keyed: bool = False) -> None:
    """Make the table. keyed: with its key, too."""
    ddl(
        connection,
        "CREATE TABLE {} ({})",
        named(layout.schema, table),
        sql.SQL(", ").join(_definition(column.name, column.kind.value) for column in layout.columns),
    )
    if keyed:
        add_key(connection, layout, table)


def add_key(connection: Connection[Any], layout: Layout, table: str) -> None:
    """Give a table its primary key; UniqueViolation where a key is there twice, MisfitError where one is too long."""
    names = [column.name for column in layout.keys]
    keys = sql.SQL(", ").join(map(sql.Identifier, names))
    with fits_an_index(names, layout.label):
        ddl(connection, "ALTER TABLE {} ADD PRIMARY KEY ({})", named(layout.schema, table), keys)


@contextmanager
def fits_an_index(keys: Iterable[str], label: str) -> Iterator[None]:
    """MisfitError where a key turns out to be too long while it is indexed."""
    try:
        yield
    except ProgramLimitExceeded as error:
        raise key_too_long(keys, label) from error


def evolve(connection: Connection[Any], layout: Layout, name: str, table: Table, *, keyed: bool) -> Table:
    """Add the columns the table lacks, widen those too narrow, and see to its key; the table afterwards."""
    where = named(layout.schema, name)
    refuse_computed(layout, table)
    for column in layout.columns:
        existing = table.types.get(column.name)
        if existing is None:
            definition = _definition(column.name, column.kind.value)
            ddl(connection, "ALTER TABLE {} ADD COLUMN IF NOT EXISTS {}", where, definition)
        elif wider := widened(existing.name, column.kind):
            _widen(connection, where, column, wider)
    keys = frozenset(column.name for column in layout.keys)
    if keyed and keys not in table.unique:
        _change_key(connection, layout, name, table)
    found = find(connection, layout.schema, name)
    if found is None:  # dropped by somebody in between; the next sync finds it so
        raise DestinationError(f"{layout.label} disappeared while it was prepared.", hint="Sync again.", retryable=True)
    return found


def refuse_computed(layout: Layout, table: Table) -> None:
    """DestinationError where something comes for a column in which Postgres lets nobody store it."""
    for column in layout.columns:
        existing = table.types.get(column.name)
        if existing is not None and existing.computed:
            raise DestinationError(
                f'Postgres computes the column "{column.name}" of {layout.label} itself, so nothing can be loaded'
                " into it.",
                hint=f'Deselect the field, or: ALTER TABLE … ALTER COLUMN "{column.name}" DROP {existing.computed}.',
            )


def _widen(connection: Connection[Any], where: sql.Composable, column: Column, type_: str) -> None:
    name, wide = sql.Identifier(column.name), sql.SQL(type_)
    ddl(connection, "ALTER TABLE {} ALTER COLUMN {} TYPE {} USING {}::{}", where, name, wide, name, wide)


def _change_key(connection: Connection[Any], layout: Layout, name: str, table: Table) -> None:
    where = named(layout.schema, name)
    if table.constraint:
        ddl(connection, "ALTER TABLE {} DROP CONSTRAINT {}", where, sql.Identifier(table.constraint))
        for old in sorted(table.primary - {column.name for column in layout.keys}):
            ddl(connection, "ALTER TABLE {} ALTER COLUMN {} DROP NOT NULL", where, sql.Identifier(old))
    try:
        with connection.transaction():
            add_key(connection, layout, name)
    except UniqueViolation as twice:
        raise DestinationError(
            f"{layout.label} holds rows with the same {_listed(layout.keys)}, so they cannot be updated by it.",
            hint="Remove the duplicates or drop the table and do a full refresh.",
            remedy="full_refresh",
        ) from twice


def _definition(name: str, type_: str) -> sql.Composable:
    return sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(type_))


def _listed(columns: Sequence[Column]) -> str:
    return ", ".join(column.name for column in columns)
