"""The control-plane database: its address, the base of all tables, and transactions that carry their organization.

Every transaction first drops to a role without BYPASSRLS and names its organization, so that row-level security
holds even where the connection itself is a superuser's.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import DateTime, Dialect, MetaData, Text, Uuid, create_engine, text
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.types import TypeDecorator

from orchestrator.kernel import ids
from orchestrator.kernel.errors import InvalidConfigError, TemporaryError

SCHEMA = "orchestrator"
QUEUE_SCHEMA = "orchestrator_queue"  # the transport's own tables
_POOLER_PORT = 6543  # Supabase's transaction pooler; source: Supabase documentation, "Connect to your database"


# A server that is cut off says nothing: connections end by themselves, before a lease does. Unix sockets ignore it.
# source: libpq, "Parameter Key Words"; tcp_user_timeout in milliseconds, the others in seconds
TCP: dict[str, Any] = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 20_000,
}


# A process that is paused in a transaction holds its locks, on which all others may wait: it loses them before a lease
# ends. source: Postgres, "Client Connection Defaults"
IDLE: Final = "20s"


class Role(StrEnum):
    """What a transaction may do; every one of these is subject to row-level security."""

    APP = "orchestrator_app"
    WORKER = "orchestrator_worker"
    SCHEDULER = "orchestrator_scheduler"


# A deadlock, a serialization that failed, a lock that isn't given, a statement or a rest that took too long.
_BUSY: Final = frozenset({"40P01", "40001", "55P03", "57014", "25P03"})  # source: Postgres, "PostgreSQL Error Codes"


class DatabaseAwayError(TemporaryError):
    """Postgres doesn't answer, or went away in the middle."""

    code = "database_away"
    said = "The control-plane database can't be reached"
    fix = "Check that Postgres runs and that DATABASE_URL is right: orchestrator doctor."

    def __init__(self, reason: str) -> None:
        super().__init__(f"{self.said}: {reason}", hint=self.fix)
        self.reason = reason


class DatabaseBusyError(DatabaseAwayError):
    """Postgres gave up on a transaction for others' sake. Whoever waits for one that is away tries again here too."""

    code = "database_busy"
    said = "The control-plane database gave up"
    fix = "Nothing was changed: try again. If it happens again and again, see what holds locks: pg_stat_activity."


class Table(DeclarativeBase):
    """Base of every mapped class; all live in our own Postgres schema, never in `public`."""

    metadata = MetaData(
        schema=SCHEMA,
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "ix": "%(table_name)s_%(column_0_N_name)s_idx",
            "ck": "%(table_name)s_%(constraint_name)s_check",
        },
    )
    type_annotation_map = {datetime: DateTime(timezone=True), str: Text}  # noqa: RUF012 - read by SQLAlchemy on the class


class Identifier(TypeDecorator[str]):
    """A prefixed id in Python, a uuid in Postgres."""

    impl = Uuid
    cache_ok = True

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self.prefix = prefix

    def process_bind_param(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ARG002 - SQLAlchemy's signature
        """Turn `int_…` into the uuid it stands for."""
        return None if value is None else ids.decode(self.prefix, value)

    def process_result_value(self, value: UUID | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's
        """Turn the uuid into `int_…`."""
        return None if value is None else ids.encode(self.prefix, value)


def normalised(address: SecretStr) -> URL:
    """A Postgres address in any usual spelling, for psycopg 3. Raises InvalidConfigError, without the address."""
    try:
        url = make_url(address.get_secret_value().strip())
    except (ArgumentError, ValueError):
        url = None
    if url is None or url.get_backend_name() not in {"postgres", "postgresql"}:
        raise InvalidConfigError(
            "The database address is not a Postgres URL.",
            hint="It should look like postgresql://user:password@host:5432/database.",
        )
    return url.set(drivername="postgresql+psycopg")


def is_postgres(address: SecretStr) -> bool:
    """Whether it is the address of a Postgres at all."""
    try:
        normalised(address)
    except InvalidConfigError:
        return False
    return True


def engine(address: SecretStr, *, application_name: str = "orchestrator") -> Engine:
    """A pool of a few connections; nothing is connected yet."""
    url = normalised(address)
    arguments: dict[str, Any] = {"connect_timeout": 10, "application_name": application_name, **TCP}
    arguments = {name: value for name, value in arguments.items() if name not in url.query}
    if url.port == _POOLER_PORT or "pgbouncer" in url.query:
        url = url.difference_update_query(["pgbouncer"])
        arguments["prepare_threshold"] = None  # a transaction pooler hands each transaction another session
    return create_engine(
        url,
        pool_size=5,
        max_overflow=5,
        pool_pre_ping=False,
        hide_parameters=True,
        connect_args=arguments,
    )


class Database:
    """Transactions of one control plane. Threads may share it. idle: how long one may rest between its statements."""

    def __init__(self, pool: Engine, *, idle: str = IDLE) -> None:
        self.pool = pool
        self._idle = idle

    @contextmanager
    def transaction(self, org_id: str, *, role: Role = Role.APP) -> Iterator[Session]:
        """One short transaction as one organization; commits at the end, rolls back on any error.

        Raises DatabaseAwayError where the server is gone, DatabaseBusyError where it gave up. Keep processes, HTTP and
        sleeping outside.
        """
        with self._session() as tx:
            named = {"role": role.value, "org": str(ids.decode("org", org_id)), "idle": self._idle}
            tx.execute(_BECOME_ORG, named)
            yield tx

    @contextmanager
    def anonymous(self, *, role: Role = Role.APP) -> Iterator[Session]:
        """A transaction without an organization: sees no tenant row; for the few reviewed functions across them."""
        with self._session() as tx:
            tx.execute(_BECOME, {"role": role.value, "idle": self._idle})
            yield tx

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection as the login itself, in a transaction; to ask about the schema, never for tenants' rows."""
        with self._translated(), self.pool.begin() as connection:
            yield connection

    @contextmanager
    def _session(self) -> Iterator[Session]:
        with self._translated(), Session(self.pool, expire_on_commit=False) as tx, tx.begin():
            yield tx

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) in _BUSY or _is_outdated(error):
                raise DatabaseBusyError(reason(error)) from error
            if isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated:
                raise DatabaseAwayError(reason(error)) from error
            raise

    def close(self) -> None:
        """Close the pool's connections."""
        self.pool.dispose()


def _is_outdated(error: DBAPIError) -> bool:
    """Whether a migration changed columns of a statement that this connection had prepared; it is forgotten with that.

    Its SQLSTATE says no more than that something isn't supported. source: Postgres, src/backend/utils/cache/plancache.c
    """
    return getattr(getattr(error.orig, "diag", None), "source_function", None) == "RevalidateCachedQuery"


def work_for(tx: Session, org_ids: Iterable[str]) -> None:
    """From here on a transaction of the scheduler's role sees these organizations, after a reviewed claim."""
    named = ",".join(str(ids.decode("org", org_id)) for org_id in org_ids)
    tx.execute(_WORK_FOR, {"orgs": f"{{{named}}}"})


_BECOME = text("SELECT set_config('role', :role, true), set_config('idle_in_transaction_session_timeout', :idle, true)")
_BECOME_ORG = text(f"{_BECOME.text}, set_config('app.org_id', :org, true)")
_WORK_FOR = text("SELECT set_config('app.org_ids', :orgs, true)")


def reason(error: DBAPIError) -> str:
    """The server's own words, first line, without addresses or parameters."""
    lines = str(error.orig).strip().splitlines()
    return lines[0] if lines else type(error.orig).__name__
