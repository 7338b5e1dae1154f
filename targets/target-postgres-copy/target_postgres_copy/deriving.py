"""Properties that follow from others, in files that come as their source wrote them: when a record was deleted."""

import logging
from typing import Final

from psycopg import sql

from target_postgres_copy.kinds import Kind
from target_postgres_copy.layout import DELETED_AT, Derived
from target_postgres_copy.stage import Stage

log: Final = logging.getLogger("target-postgres-copy")


def derive(stage: Stage) -> None:
    """Fill in what the layout says is derived, where the files did not bring it."""
    for rule in stage.layout.derived:
        _apply(stage, rule)


def _apply(stage: Stage, rule: Derived) -> None:
    target = stage.layout.column(rule.target)
    when, value = stage.has(rule.when), stage.has(rule.value)
    if target is None or target.name in stage.given:
        return
    if when is None or value is None:
        log.warning(
            "%s.%s stays empty: the batch has no %s and %s to tell it by.",
            stage.layout.label, rule.target, rule.when, rule.value,
        )  # fmt: skip
        return
    types = _types(stage)
    kind = types[target.name]
    given, told = sql.Identifier(value), sql.Identifier(when)
    cast = sql.SQL("{}::text::{}").format(given, sql.SQL(kind))  # quoted by Postgres
    says = sql.SQL("{}::text IN ('true', 't', '1')").format(told)
    changed = stage.connection.execute(
        sql.SQL("UPDATE {} SET {} = {} WHERE {}").format(
            stage.where,
            sql.Identifier(target.name),
            given if types[value] == kind else cast,
            told if types[when] == Kind.BOOLEAN else says,
        )
    )
    if rule.target == DELETED_AT:
        stage.found_deleted = changed.rowcount


def _types(stage: Stage) -> dict[str, str]:
    """Column → type."""
    found = stage.connection.execute(
        "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
        (stage.where.as_string(stage.connection),),
    )
    return dict(found.fetchall())
