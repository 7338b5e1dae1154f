"""A table that is built aside: nobody else's rows come into it, and what takes its table's place is all ours.

Two runs that overwrite one table would build it under one name. Whoever begins later builds it anew, and the earlier
one must notice: it ends, and promises nothing.
"""

from typing import Any, Final

from psycopg import Connection, sql
from psycopg.errors import UndefinedTable

from target_postgres_copy import tables
from target_postgres_copy.errors import DestinationError
from target_postgres_copy.stage import Place

_WHICH: Final = """
SELECT c.oid::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s
"""


def remember(connection: Connection[Any], place: Place) -> None:
    """The table has just been made by us."""
    if place.is_aside:
        place.made.oid = _which(connection, place)


def hold(connection: Connection[Any], place: Place) -> None:
    """Nobody replaces it before the transaction ends; DestinationError if somebody did before."""
    if not place.is_aside:
        return
    try:
        with connection.transaction():
            where = tables.named(place.layout.schema, place.table)
            connection.execute(sql.SQL("LOCK TABLE {} IN ROW EXCLUSIVE MODE").format(where))
    except UndefinedTable:
        raise _taken(place) from None
    if _which(connection, place) != place.made.oid:
        raise _taken(place)


def _which(connection: Connection[Any], place: Place) -> int | None:
    row = connection.execute(_WHICH, (place.layout.schema, place.table)).fetchone()
    return int(row[0]) if row else None


def _taken(place: Place) -> DestinationError:
    return DestinationError(
        f"Another sync has begun to overwrite {place.layout.label}, so this one has stopped.",
        hint="Let one sync at a time load that table.",
        retryable=True,
    )
