"""A table on its first load: it gets its primary key when its rows are there, not before the second batch.

An index that is built once costs a quarter of one that takes row after row, and far less where it outgrows memory.
Until then a key that comes again in a later batch is there twice. Which of its rows came last is told by xmin: each
batch is inserted in a subtransaction of its own, which begins when the batch before is committed, and no key is twice
in one batch. Freezing and VACUUM FULL leave xmin as it is. Where somebody has rewritten the rows meanwhile, they have
one xmin and nothing is removed: adding the key says that it is there twice.

Autovacuum comes for what was inserted, competes with the load, and when the key is to be added it steps back from the
table only after deadlock_timeout (1 s); so it is kept away until then. It still comes where xmin would wrap around.
source: Postgres, "Automatic Vacuuming"; ProcSleep

What is unfinished is known by the table's comment, so that the next run can finish what a crash has left.
"""

import json
import logging
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from psycopg import Connection, sql
from psycopg.errors import UniqueViolation

from target_postgres_copy import names, tables
from target_postgres_copy.layout import Layout
from target_postgres_copy.patience import patiently
from target_postgres_copy.tables import Table

log: Final = logging.getLogger("target-postgres-copy")

_MARK: Final = "Being loaded for the first time by target-postgres-copy. Gets its primary key when all rows are there: "
# xmin goes round at 2^32; a load takes less than half of that. source: Postgres, "Preventing Transaction ID Wraparound"
_REMOVE_OLDER: Final = """
DELETE FROM {table} WHERE ctid IN (SELECT at FROM (
    SELECT ctid AS at, rank() OVER (PARTITION BY {keys} ORDER BY mod(
        xmin::text::bigint - (SELECT xmin::text::bigint FROM {table} LIMIT 1) + 6442450944, 4294967296) DESC) AS place
    FROM {table}) AS ranked WHERE place > 1)
"""


def begin(connection: Connection[Any], layout: Layout, table: str) -> None:
    """Make the table without its key, and say so in its comment."""
    tables.create(connection, layout, table)
    where, keys = tables.named(layout.schema, table), [key.name for key in layout.keys]
    filled = sql.SQL(", ").join(sql.SQL("ALTER COLUMN {} SET NOT NULL").format(sql.Identifier(key)) for key in keys)
    # Where all tables are published, rows of one without identity can be neither changed nor removed.
    tables.ddl(
        connection,
        "ALTER TABLE {} {}, REPLICA IDENTITY FULL, SET (autovacuum_enabled = off, toast.autovacuum_enabled = off)",
        where,
        filled,
    )
    mark = _MARK + json.dumps(keys, ensure_ascii=False)
    tables.ddl(connection, "COMMENT ON TABLE {} IS {}", where, sql.Literal(mark))


def lacks(table: Table) -> Sequence[str]:
    """Columns of the key that a load which was cut off has not added; none if there was no such load."""
    mark, _, rest = (table.comment or "").partition(_MARK)
    if mark or not rest:
        return ()
    try:
        keys = msgspec.json.decode(rest, type=list[str])
    except msgspec.MsgspecError:  # somebody wrote on
        return ()
    return keys if table.types.keys() >= set(keys) else ()


def finish(connection: Connection[Any], schema: str, name: str, keys: Sequence[str]) -> None:
    """Give the table its key; of rows with the same one the last stays. Readers go on while the index is built."""
    found = tables.find(connection, schema, name)
    if found is None:
        return  # dropped by somebody: the next batch says so, the next run makes it anew
    has_key, marked = frozenset(keys) in found.unique, bool(lacks(found))
    if has_key and not marked:
        return  # another run was faster
    if not has_key:
        try:
            with connection.transaction():
                _add_key(connection, schema, name, keys)
        except UniqueViolation:
            _remove_older(connection, schema, name, keys)
            _add_key(connection, schema, name, keys)
    where = tables.named(schema, name)
    tables.ddl(
        connection,
        "ALTER TABLE {} REPLICA IDENTITY DEFAULT, RESET (autovacuum_enabled, toast.autovacuum_enabled)",
        where,
    )
    if marked:  # otherwise the comment is somebody's own
        tables.ddl(connection, "COMMENT ON TABLE {} IS NULL", where)


def _add_key(connection: Connection[Any], schema: str, name: str, keys: Sequence[str]) -> None:
    where, index = tables.named(schema, name), sql.Identifier(_index(connection, schema, name))
    columns = sql.SQL(", ").join(map(sql.Identifier, keys))
    with tables.fits_an_index(keys, f"{schema}.{name}"):
        tables.ddl(connection, "CREATE UNIQUE INDEX {} ON {} ({})", index, where, columns)

    def use() -> None:
        with connection.transaction():
            tables.ddl(connection, "ALTER TABLE {} ADD CONSTRAINT {} PRIMARY KEY USING INDEX {}", where, index, index)

    patiently(f"{schema}.{name}", use)  # where somebody reads the table, its index need not be built again


def _index(connection: Connection[Any], schema: str, name: str) -> str:
    """As Postgres would call it, or something else if that is taken."""
    usual = names.identifier(f"{name}_pkey")
    taken = "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE nspname = %s AND relname = %s"
    return names.aside(usual) if connection.execute(taken, (schema, usual)).fetchone() else usual


def _remove_older(connection: Connection[Any], schema: str, name: str, keys: Sequence[str]) -> None:
    statement = sql.SQL(_REMOVE_OLDER).format(
        table=tables.named(schema, name), keys=sql.SQL(", ").join(map(sql.Identifier, keys))
    )
    removed = connection.execute(statement).rowcount
    log.info("%s.%s: %d rows came again later and were replaced.", schema, name, removed)
