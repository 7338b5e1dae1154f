"""The warehouse as a person looks at it: statements that only read, and the schemas loaded into."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr
from sqlalchemy import Connection, text
from sqlalchemy.exc import InterfaceError, OperationalError, ResourceClosedError, SQLAlchemyError

from orchestrator.kernel.db import engine, reason
from orchestrator.kernel.errors import TemporaryError, UsageError

_TIMEOUT = "60s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Rows of a statement; `more` where there would be further ones."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    more: bool


class WarehouseAwayError(TemporaryError):
    """The warehouse doesn't answer."""

    code = "warehouse_away"


class QueryError(UsageError):
    """Postgres refused the statement."""

    code = "query_refused"


def look(address: SecretStr, sql: str, *, limit: int) -> Look:
    """Run one statement in a read-only transaction. Raises QueryError with Postgres's words, WarehouseAwayError."""
    with _connected(address) as connection:
        try:
            connection.execute(text("SET TRANSACTION READ ONLY"))
            connection.execute(text(f"SET LOCAL statement_timeout = '{_TIMEOUT}'"))
            result = connection.exec_driver_sql(sql)
            rows = result.fetchmany(limit + 1)
            columns = tuple(result.keys())
        except ResourceClosedError:
            return Look(columns=(), rows=(), more=False)
        except SQLAlchemyError as error:
            said = str(getattr(error, "orig", error)).strip().splitlines()[0]
            raise QueryError(f"The warehouse refused this: {said}", hint="Only statements that read.") from None
    return Look(columns=columns, rows=tuple(tuple(row) for row in rows[:limit]), more=len(rows) > limit)


def drop_schema(address: SecretStr, schema: str) -> None:
    """Remove a schema and everything in it."""
    with _connected(address) as connection:
        quoted = connection.dialect.identifier_preparer.quote_identifier(schema)
        connection.execute(text(f"DROP SCHEMA IF EXISTS {quoted} CASCADE"))


@contextmanager
def _connected(address: SecretStr) -> Iterator[Connection]:
    pool = engine(address, application_name="orchestrator warehouse")
    try:
        with pool.begin() as connection:
            yield connection
    except (OperationalError, InterfaceError) as error:
        raise WarehouseAwayError(
            f"The warehouse can't be reached: {reason(error)}", hint="Check WAREHOUSE_URL: orchestrator doctor."
        ) from error
    finally:
        pool.dispose()
