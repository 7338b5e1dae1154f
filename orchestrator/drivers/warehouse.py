"""The warehouse as a person looks at it: statements that only read, and the schemas loaded into."""

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from pydantic import SecretStr
from sqlalchemy import Connection, text
from sqlalchemy.exc import InterfaceError, OperationalError

from orchestrator.kernel.db import engine, reason
from orchestrator.kernel.errors import TemporaryError, UsageError

if TYPE_CHECKING:
    import psycopg

_TIMEOUT = "60s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Rows of a statement; `more` where there would be further ones. Each column has a name of its own."""

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
    """Run one statement that gives rows, and can only read.

    More than one is refused: the extended protocol takes one only. And one can't leave the read-only transaction:
    below a savepoint Postgres refuses READ WRITE, and inside a block it refuses the COMMIT of a procedure. Whatever
    it did is rolled back. Without rows there are no columns.
    source: PostgreSQL documentation, "Extended Query", "SET TRANSACTION", "Transaction Management" of PL/pgSQL
    Errors: QueryError with Postgres's words, WarehouseAwayError
    """
    import psycopg

    with _connected(address) as connection:
        raw: psycopg.Connection = connection.connection.driver_connection  # type: ignore[assignment]  # psycopg's own
        try:
            raw.read_only = True
            with raw.cursor() as cursor:
                cursor.execute(f"SET LOCAL statement_timeout = '{_TIMEOUT}'")
                cursor.execute("SAVEPOINT reading")
                # Row by row, so that a large table is not fetched as a whole; `stream` is the extended protocol.
                rows = cast("Generator[tuple[Any, ...]]", cursor.stream(sql.encode()))
                with closing(rows):
                    found = tuple(islice(rows, limit + 1))
                    columns = tuple(_apart(column.name for column in cursor.description or ()))
        except psycopg.Error as error:
            if raw.broken:
                raise _away(str(error).strip().splitlines()[0]) from error
            said = error.diag.message_primary or "it gives no rows"
            raise QueryError(f"The warehouse refused this: {said}", hint="One statement that reads.") from None
        finally:
            connection.invalidate()  # closed, in whatever state the statement left it
    return Look(columns=columns, rows=found[:limit], more=len(found) > limit)


def _apart(names: Iterable[str]) -> Iterator[str]:
    """The names, with a number where there was one like it: a statement may call all its columns the same."""
    seen = set[str]()
    for name in names:
        own, number = name, 1
        while own in seen:
            number += 1
            own = f"{name} ({number})"
        seen.add(own)
        yield own


def drop_schema(address: SecretStr, schema: str) -> None:
    """Remove a schema and everything in it."""
    with _connected(address) as connection, connection.begin():
        quoted = connection.dialect.identifier_preparer.quote_identifier(schema)
        connection.execute(text(f"DROP SCHEMA IF EXISTS {quoted} CASCADE"))


@contextmanager
def connected(address: SecretStr) -> Iterator["psycopg.Connection"]:
    """A connection as the driver's own, closed afterwards. Raises WarehouseAwayError."""
    with _connected(address) as connection:
        yield cast("psycopg.Connection", connection.connection.driver_connection)


@contextmanager
def _connected(address: SecretStr) -> Iterator[Connection]:
    pool = engine(address, application_name="orchestrator warehouse")
    try:
        with pool.connect() as connection:
            yield connection
    except (OperationalError, InterfaceError) as error:
        raise _away(reason(error)) from error
    finally:
        pool.dispose()


def _away(why: str) -> WarehouseAwayError:
    return WarehouseAwayError(
        f"The warehouse can't be reached: {why}", hint="Check WAREHOUSE_URL: orchestrator doctor."
    )
