"""What happens to a table when a stream is complete: rows that did not come again, and the swap of an overwritten one.

Each function is one transaction.
"""

import logging
from datetime import UTC, datetime
from typing import Any, Final

from psycopg import Connection, sql
from psycopg.errors import DependentObjectsStillExist

from target_postgres_copy import building, claiming, fitting, growing, names, tables
from target_postgres_copy.layout import DELETED_AT, VERSION, Layout
from target_postgres_copy.loading import PREPARE
from target_postgres_copy.patience import BRIEFLY, in_turn, patiently
from target_postgres_copy.refusals import columns_gone, gone
from target_postgres_copy.stage import Place

log: Final = logging.getLogger("target-postgres-copy")

# What a table has besides columns, key, rows and rights on the whole of it was given to it by somebody.
_KEPT_BY_ROWS: Final = """
SELECT c.relkind <> 'r' OR c.relrowsecurity OR c.relforcerowsecurity OR c.reloptions IS NOT NULL
    OR c.relreplident <> 'd' OR pg_get_userbyid(c.relowner) <> current_user
    OR EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND NOT indisprimary)
    OR EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid)
    OR EXISTS (SELECT FROM pg_rewrite WHERE ev_class = c.oid)
    OR EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid)
    OR EXISTS (SELECT FROM pg_publication_rel WHERE prrelid = c.oid)
    OR EXISTS (SELECT FROM pg_inherits WHERE c.oid IN (inhrelid, inhparent))
    OR EXISTS (SELECT FROM pg_constraint WHERE conrelid = c.oid AND contype NOT IN ('p', 'n'))
    OR EXISTS (SELECT FROM pg_statistic_ext WHERE stxrelid = c.oid)
    OR EXISTS (SELECT FROM pg_description WHERE classoid = 'pg_class'::regclass AND objoid = c.oid)
    OR EXISTS (SELECT FROM pg_seclabel WHERE classoid = 'pg_class'::regclass AND objoid = c.oid)
    OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
               AND (a.attacl IS NOT NULL OR a.atthasdef OR a.attidentity <> '' OR a.attoptions IS NOT NULL
                    OR (a.attnotnull AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid
                                                     AND i.indisprimary AND a.attnum = ANY (i.indkey)))))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s
"""
_GRANTS: Final = """
SELECT DISTINCT a.privilege_type::text, a.grantee = 0, pg_get_userbyid(a.grantee)::text, a.is_grantable
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) a
WHERE n.nspname = %s AND c.relname = %s AND a.grantee <> c.relowner
"""


def prepare(
    connection: Connection[Any],
    place: Place,
    *,
    keyed: bool,
    anew: bool,
    earlier: frozenset[str] | None,
    claim: str | None,
) -> None:
    """The schema exists, and the table, if there is one, can hold the layout; a first load that was cut off is over.

    anew:    drop what an earlier run left
    earlier: earlier rows must be there, with these columns: DestinationError where the table or one of them isn't
    claim:   who alone loads into the schema: DestinationError where another does
    """
    patiently(
        place.layout.label,
        lambda: _prepare(connection, place, keyed=keyed, anew=anew, earlier=earlier, claim=claim),
    )


def _prepare(
    connection: Connection[Any],
    place: Place,
    *,
    keyed: bool,
    anew: bool,
    earlier: frozenset[str] | None,
    claim: str | None,
) -> None:
    layout = place.layout
    with connection.transaction():
        connection.execute(PREPARE)
        tables.ensure_schema(connection, layout.schema)
        if claim is not None:
            claiming.claim(connection, layout.schema, claim)
        in_turn(connection, layout.label)
        connection.execute(BRIEFLY)
        found = tables.find(connection, layout.schema, layout.table)  # says so if that is no table
        if earlier is not None:
            _refuse_gone(layout, found, earlier)
        if found is not None and (lacking := growing.lacks(found)):
            growing.finish(connection, layout.schema, layout.table, lacking)
        if anew:
            if found is not None:
                tables.refuse_computed(layout, found)
            connection.execute(
                sql.SQL("DROP TABLE IF EXISTS {}").format(tables.named(layout.schema, names.aside(layout.table)))
            )
        elif place.exists:
            building.hold(connection, place)
        found = tables.find(connection, layout.schema, place.table)
        if found is not None:
            found = tables.evolve(connection, layout, place.table, found, keyed=keyed)
        place.exists = found is not None
        place.types = found.types if found else {}


def _refuse_gone(layout: Layout, found: tables.Table | None, earlier: frozenset[str]) -> None:
    if found is None:
        raise gone(layout.label)
    lost = [column.name for column in layout.columns if column.name in earlier and column.name not in found.types]
    if lost:
        raise columns_gone(lost, layout.label)


def add_key(connection: Connection[Any], place: Place) -> None:
    """All rows of a first load are there."""
    patiently(place.layout.label, lambda: _add_key(connection, place))


def _add_key(connection: Connection[Any], place: Place) -> None:
    layout = place.layout
    with connection.transaction():
        connection.execute(PREPARE)
        in_turn(connection, layout.label)
        connection.execute(BRIEFLY)
        building.hold(connection, place)
        growing.finish(connection, layout.schema, place.table, [key.name for key in layout.keys])


def make_empty(connection: Connection[Any], place: Place, *, keyed: bool) -> None:
    """The table exists, although no row came."""
    with connection.transaction():
        connection.execute(PREPARE)
        tables.create(connection, place.layout, place.table, keyed=keyed)
        building.remember(connection, place)
    place.exists = True


def activate(connection: Connection[Any], layout: Layout, version: int, *, hard: bool) -> int:
    """Rows of earlier versions are removed, or marked as deleted; how many."""
    place, older = tables.named(layout.schema, layout.table), sql.Identifier(VERSION)
    with connection.transaction():
        connection.execute(PREPARE)
        in_turn(connection, layout.label)
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
    if not place.exists:
        make_empty(connection, place, keyed=keyed)
    patiently(place.layout.label, lambda: _swap(connection, place, keyed=keyed))


def _swap(connection: Connection[Any], place: Place, *, keyed: bool) -> None:
    layout = place.layout
    try:
        with connection.transaction():
            connection.execute(PREPARE)
            in_turn(connection, layout.label)
            connection.execute(BRIEFLY)
            building.hold(connection, place)
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
        connection.execute(PREPARE)
        found = tables.find(connection, layout.schema, layout.table)
    place.types = found.types if found else {}


def forget(connection: Connection[Any], place: Place) -> None:
    """Drop what was built aside and is not complete."""
    with connection.transaction():
        connection.execute(PREPARE)
        building.hold(connection, place)
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(tables.named(place.layout.schema, place.table)))


def _is_held(connection: Connection[Any], layout: Layout) -> bool:
    row = connection.execute(_KEPT_BY_ROWS, (layout.schema, layout.table)).fetchone()
    return bool(row and row[0])


def _rename(connection: Connection[Any], place: Place, *, replaces: bool) -> None:
    layout = place.layout
    new = tables.named(layout.schema, place.table)
    if replaces:
        for _, everybody, role, _ in _rights(connection, layout.schema, place.table):  # by default privileges
            connection.execute(sql.SQL("REVOKE ALL ON {} FROM {}").format(new, _who(role, everybody=everybody)))
        for privilege, everybody, role, grantable in _rights(connection, layout.schema, layout.table):
            option = sql.SQL(" WITH GRANT OPTION" if grantable else "")
            who = _who(role, everybody=everybody)
            connection.execute(
                sql.SQL("GRANT {} ON {} TO {}{}").format(sql.SQL(privilege), new, who, option)  # the catalog's word
            )
        tables.ddl(connection, "DROP TABLE {}", tables.named(layout.schema, layout.table))
    tables.ddl(connection, "ALTER TABLE {} RENAME TO {}", new, sql.Identifier(layout.table))


def _rights(connection: Connection[Any], schema: str, table: str) -> list[Any]:
    return connection.execute(_GRANTS, (schema, table)).fetchall()


def _who(role: str, *, everybody: bool) -> sql.Composable:
    return sql.SQL("PUBLIC") if everybody else sql.Identifier(role)


def _replace_rows(connection: Connection[Any], place: Place, *, keyed: bool) -> None:
    layout = place.layout
    old, new = tables.named(layout.schema, layout.table), tables.named(layout.schema, place.table)
    with connection.transaction():
        connection.execute(PREPARE)
        in_turn(connection, layout.label)
        connection.execute(BRIEFLY)
        building.hold(connection, place)
        found = tables.find(connection, layout.schema, layout.table)
        types = tables.evolve(connection, layout, layout.table, found, keyed=keyed).types if found else {}
        others = [
            (column, type_)
            for column in layout.columns
            if (type_ := types.get(column.name)) is not None and type_.base != column.kind.value
        ]
        fitting.judge(connection, new, others, layout.label)
        connection.execute(sql.SQL("DELETE FROM {}").format(old))
        connection.execute(
            sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} AS s").format(
                old,
                sql.SQL(", ").join(sql.Identifier(column.name) for column in layout.columns),
                sql.SQL(", ").join(
                    fitting.converted(column, types.get(column.name), sql.Identifier("s", column.name))
                    for column in layout.columns
                ),
                new,
            )
        )
        connection.execute(sql.SQL("DROP TABLE {}").format(new))
    log.info("%s kept what hangs on it: its rows were replaced in one transaction.", layout.label)
