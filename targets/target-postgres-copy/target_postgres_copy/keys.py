"""Keys within one batch: each once, its last row, and none too long for the index that the table has or will get."""

from typing import Final

from psycopg import sql

from target_postgres_copy import tables
from target_postgres_copy.kinds import Kind
from target_postgres_copy.layout import Layout
from target_postgres_copy.stage import Stage

_LONG: Final = 2600  # bytes; source: Postgres, BTMaxItemSize is 2704, less what a row of an index has besides


def listed(layout: Layout) -> sql.Composable:
    """The key's columns, comma-separated."""
    return sql.SQL(", ").join(sql.Identifier(column.name) for column in layout.keys)


def make_unique(stage: Stage) -> None:
    """No key is twice in the stage, and each is one that an index can hold: the table may have none yet."""
    long = sql.SQL(" OR ").join([sql.SQL("false"), *_long(stage.layout)])
    statement = sql.SQL(
        "SELECT bool_or(rows > 1), bool_or(long) FROM"
        " (SELECT count(*) AS rows, bool_or({}) AS long FROM {} GROUP BY {}) AS keys"
    ).format(long, stage.where, listed(stage.layout))
    twice, may_be_long = stage.connection.execute(statement).fetchone() or (None, None)
    if twice:
        keep_last(stage)
    if may_be_long:
        _try(stage)


def keep_last(stage: Stage) -> None:
    """Of rows with one key the last stays."""
    stage.connection.execute(
        sql.SQL(
            "DELETE FROM {} WHERE ctid IN (SELECT at FROM (SELECT ctid AS at, row_number() OVER"
            " (PARTITION BY {} ORDER BY ctid DESC) AS place FROM {}) AS ranked WHERE place > 1)"
        ).format(stage.where, listed(stage.layout), stage.where)
    )


def _long(layout: Layout) -> list[sql.Composable]:
    """Conditions on keys that may be too long; packed they may fit nevertheless."""
    texts = [sql.Identifier(key.name) for key in layout.keys if key.kind in {Kind.TEXT, Kind.JSONB}]
    return [sql.SQL("octet_length({}::text) > {}").format(name, sql.Literal(_LONG // len(texts))) for name in texts]


def _try(stage: Stage) -> None:
    """MisfitError if a key of the stage is too long for an index."""
    names = [key.name for key in stage.layout.keys]
    with stage.connection.transaction(force_rollback=True), tables.fits_an_index(names, stage.layout.label):
        stage.connection.execute(sql.SQL("CREATE INDEX ON {} ({})").format(stage.where, listed(stage.layout)))
