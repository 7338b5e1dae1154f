"""Whole numbers that are written as 12.0 or 1.2E1, which bigint does not read.

They are rare, so nothing looks for them: once Postgres has refused a text, the batch is copied again with `numeric`
in place of `bigint`. Every value is then whole and becomes `bigint`, digit for digit, or is refused.
"""

from psycopg import sql

from target_postgres_copy.errors import LoadError
from target_postgres_copy.fitting import staged
from target_postgres_copy.kinds import Kind
from target_postgres_copy.layout import Column
from target_postgres_copy.refusals import misfit
from target_postgres_copy.stage import Place, Stage

_LEAST, _MOST = sql.Literal(-(2**63)), sql.Literal(2**63 - 1)
_OUT_OF_RANGE, _NOT_WHOLE = "22003", "22P02"  # SQLSTATE, as of bigint itself


def columns(place: Place) -> list[Column]:
    """The columns that are staged as bigint."""
    return [
        column for column in place.layout.columns if staged(column, place.types.get(column.name)) == Kind.BIGINT.value
    ]


def settle(stage: Stage, place: Place) -> None:
    """What was copied as numeric becomes bigint; MisfitError for the first column that holds something else."""
    affected = columns(place)
    for column in affected:
        name = sql.Identifier(column.name)
        found = stage.connection.execute(
            sql.SQL("SELECT bool_or(trunc({0}) <> {0}), bool_or({0} NOT BETWEEN {1} AND {2}) FROM {3}").format(
                name, _LEAST, _MOST, stage.where
            )
        ).fetchone()
        if found and any(found):
            raise _refused(column, place, broken=bool(found[0]))
    changes = sql.SQL(", ").join(
        sql.SQL("ALTER COLUMN {} TYPE bigint").format(sql.Identifier(column.name)) for column in affected
    )
    stage.connection.execute(sql.SQL("ALTER TABLE {} {}").format(stage.where, changes))


def _refused(column: Column, place: Place, *, broken: bool) -> LoadError:
    return misfit(f' column "{column.name}"', place.layout.label, _NOT_WHOLE if broken else _OUT_OF_RANGE)
