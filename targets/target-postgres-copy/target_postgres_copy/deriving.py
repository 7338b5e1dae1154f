"""Properties that follow from others, in files that come as their source wrote them: when a record was deleted."""

import logging
from typing import Final

from psycopg import sql

from target_postgres_copy.layout import DELETED_AT, Column, Derived
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
    changed = stage.connection.execute(
        sql.SQL("UPDATE {} SET {} = {}::text::{} WHERE {}::text IN ('true', 't', '1')").format(
            stage.where, sql.Identifier(target.name), value, sql.SQL(_type_of(stage, target)), when
        )  # out of the catalog or one of Kind's
    )
    if rule.target == DELETED_AT:
        stage.found_deleted = changed.rowcount


def _type_of(stage: Stage, column: Column) -> str:
    found = stage.connection.execute(
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = %s::regclass AND attname = %s",
        (stage.where.as_string(stage.connection), column.name),
    ).fetchone()
    return str(found[0]) if found else column.kind.value
