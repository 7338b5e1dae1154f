"""What happens to a table when a stream is complete: rows that did not come again, and the swap of an overwritten one.

Each function is one transaction.
"""

import logging
from datetime import UTC, datetime
from typing import Any, Final

from psycopg import Connection, sql
from psycopg.errors import DependentObjectsStillExist

from target_postgres_copy import names, tables
from target_postgres_copy.layout import DELETED_AT, VERSION, Layout
from target_postgres_copy.loading import PREPARE
from target_postgres_copy.stage import Place

log: Final = logging.getLogger("target-postgres-copy")

_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
_KEPT_BY_ROWS: Final = """
SELECT (SELECT count(*) FROM pg_index WHERE indrelid = c.oid AND NOT indisprimary)
     + (SELECT count(*) FROM pg_trigger WHERE tgrelid = c.oid)
     + (SELECT count(*) FROM pg_policy WHERE polrelid = c.oid)
     + (SELECT count(*) FROM pg_publication_rel WHERE prrelid = c.oid)
     + (SELECT count(*) FROM pg_inherits WHERE c.oid IN (inhrelid, inhparent))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s
"""
_GRANTS: Final = """
SELECT DISTINCT a.privilege_type::text, a.grantee = 0, pg_get_userbyid(a.grantee)::text, a.is_grantable
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) a
WHERE n.nspname = %s AND c.relname = %s AND a.grantee <> c.relowner
"""


def prepare(connection: Connection[Any], place: Place, *, keyed: bool, anew: bool) -> None:
    """The schema exists, and the table, if there is one, can hold the layout. anew: drop what an earlier run left."""
    layout = place.layout
    with connection.transaction():
        connection.execute(PREPARE)
        tables.ensure_schema(connection, layout.schema)
        connection.execute(_LOCK, (layout.label,))
        tables.find(connection, layout.schema, layout.table)  # says so if that is no table
        if anew:
            connection.execute(
                sql.SQL("DROP TABLE IF EXISTS {}").format(tables.named(layout.schema, names.aside(layout.table)))
            )
        found = tables.find(connection, layout.schema, place.table)
        if found is not None:
            found = tables.evolve(connection, layout, place.table, found, keyed=keyed)
        place.exists = found is not None
        place.types = found.types if found else {}


def make_empty(connection: Connection[Any], place: Place, *, keyed: bool) -> None:
    """The table exists, although no row came."""
    with connection.transaction():
        connection.execute(PREPARE)
        tables.create(connection, place.layout, place.table, keyed=keyed)
    place.exists = True


def activate(connection: Connection[Any], layout: Layout, version: int, *, hard: bool) -> int:
    """Rows of earlier versions are removed, or marked as deleted; how many."""
    place, older = tables.named(layout.schema, layout.table), sql.Identifier(VERSION)
    with connection.transaction():
        connection.execute(PREPARE)
        connection.execute(_LOCK, (layout.label,))
        if hard:
            statement = sql.SQL("DELETE FROM {} WHERE {} < %s OR {} IS NULL").format(place, older, older)
            return connection.execute(statement, (version,)).rowcount
        deleted = sql.Identifier(DELETED_AT)
        statement = sql.SQL("UPDATE {} SET {} = %s WHERE ({} < %s OR {} IS NULL) AND {} IS NULL").format(
            place, deleted, older, older, deleted
        )
        return connection.execute(statement, (datetime.now(UTC), version)).rowcount


def swap(connection: Connection[Any], place: Place, *, keyed: bool) -> None:
    """What was built aside takes the table's place; readers see all of the old or all of the new.

    Rights stay. Where views, indexes or triggers hang on the old table, it stays too and gets the new rows.
    """
    layout = place.layout
    if not place.exists:
        make_empty(connection, place, keyed=keyed)
    try:
        with connection.transaction():
            connection.execute(PREPARE)
            connection.execute(_LOCK, (layout.label,))
            old = tables.find(connection, layout.schema, layout.table)
            held = old is not None and _is_held(connection, layout)
            if not held:
                _rename(connection, place, replaces=old is not None)
    except DependentObjectsStillExist:
        held = True
    if held:
        _replace_rows(connection, place, keyed=keyed)
    place.table = layout.table
    with connection.transaction():
        found = tables.find(connection, layout.schema, layout.table)
    place.types = found.types if found else {}


def forget(connection: Connection[Any], place: Place) -> None:
    """Drop what was built aside and is not complete."""
    with connection.transaction():
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(tables.named(place.layout.schema, place.table)))


def _is_held(connection: Connection[Any], layout: Layout) -> bool:
    row = connection.execute(_KEPT_BY_ROWS, (layout.schema, layout.table)).fetchone()
    return bool(row and row[0])


def _rename(connection: Connection[Any], place: Place, *, replaces: bool) -> None:
    layout = place.layout
    new = tables.named(layout.schema, place.table)
    if replaces:
        for privilege, everybody, role, grantable in connection.execute(
            _GRANTS, (layout.schema, layout.table)
        ).fetchall():
            who = sql.SQL("PUBLIC") if everybody else sql.Identifier(role)
            option = sql.SQL(" WITH GRANT OPTION" if grantable else "")
            connection.execute(
                sql.SQL("GRANT {} ON {} TO {}{}").format(sql.SQL(privilege), new, who, option)  # the catalog's word
            )
        tables.ddl(connection, "DROP TABLE {}", tables.named(layout.schema, layout.table))
    tables.ddl(connection, "ALTER TABLE {} RENAME TO {}", new, sql.Identifier(layout.table))


def _replace_rows(connection: Connection[Any], place: Place, *, keyed: bool) -> None:
    layout = place.layout
    old, new = tables.named(layout.schema, layout.table), tables.named(layout.schema, place.table)
    columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in layout.columns)
    with connection.transaction():
        connection.execute(PREPARE)
        connection.execute(_LOCK, (layout.label,))
        found = tables.find(connection, layout.schema, layout.table)
        if found is not None:
            tables.evolve(connection, layout, layout.table, found, keyed=keyed)
        connection.execute(sql.SQL("DELETE FROM {}").format(old))
        connection.execute(sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {}").format(old, columns, columns, new))
        connection.execute(sql.SQL("DROP TABLE {}").format(new))
    log.info("%s kept its views and indexes: its rows were replaced in one transaction.", layout.label)
