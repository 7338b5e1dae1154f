"""Bring a control-plane database to this code's schema, or say why not."""

from importlib.resources import files
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import InterfaceError, OperationalError, ProgrammingError

from orchestrator.kernel.db import QUEUE_SCHEMA, SCHEMA, DatabaseAwayError, reason
from orchestrator.kernel.errors import ActionNeededError, OrchestratorError

_FOLDER = Path(str(files("orchestrator.migrations")))
_LOCK = 7_305_441_620_119  # any constant; two migrators of one database take turns
_OLDEST_POSTGRES = 140_000
_SET_IS_A_PRIVILEGE = 160_000  # of its own: who creates a role may not become it; source: PostgreSQL 16 release notes
_NO_PRIVILEGE = "42501"
_UNDEFINED = {"42P01", "3F000"}  # undefined_table, invalid_schema_name; source: PostgreSQL appendix A


class NotMigratedError(ActionNeededError):
    """The database is older than the code, or has no schema of ours yet."""

    code = "database_not_migrated"

    def __init__(self, found: str | None) -> None:
        what = f"at revision {found}" if found else "empty"
        super().__init__(
            f"The control-plane database is {what}, older than this version of orchestrator.",
            hint="Run: orchestrator migrate",
        )


class NewerDatabaseError(ActionNeededError):
    """A newer orchestrator has migrated this database; older code must not touch it."""

    code = "database_newer"
    status = 503

    def __init__(self, found: str) -> None:
        super().__init__(
            "The control-plane database was migrated by a newer orchestrator "
            f"(its revision is {found}, this one knows {head()}).",
            hint="Update this installation; nothing was changed.",
        )


class UnsuitableDatabaseError(OrchestratorError):
    """The Postgres can't hold the control plane: too old, or the login may not create what is needed."""

    code = "database_unsuitable"

    def __init__(self, why: str) -> None:
        super().__init__(
            f"This Postgres can't hold the control plane: {why}",
            hint="Use Postgres 14 or newer and a login that may create roles and schemas (on Supabase: postgres).",
        )


def revisions() -> tuple[str, ...]:
    """Every revision this code knows, oldest first; a revision's id is the date its file name starts with."""
    return tuple(sorted(path.name[:15] for path in (_FOLDER / "versions").glob("2*.py")))


def head() -> str:
    """The revision this code needs."""
    return revisions()[-1]


def check(connection: Connection) -> None:
    """Raise NotMigratedError or NewerDatabaseError unless the database is exactly at `head`."""
    found = current(connection)
    if found == head():
        return
    if found is not None and found not in revisions():
        raise NewerDatabaseError(found)
    raise NotMigratedError(found)


def current(connection: Connection) -> str | None:
    """The database's revision; None where it has no schema of ours. Leaves the connection usable."""
    try:
        with connection.begin_nested():
            found = connection.scalar(text("SELECT version_num FROM orchestrator.alembic_version"))
    except ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) in _UNDEFINED:
            return None
        raise
    return str(found) if found is not None else None


def migrate(pool: Engine) -> tuple[str | None, str]:
    """Apply what is missing, under a lock; answers (revision before, revision now).

    Raises NewerDatabaseError where the database is ahead of the code, UnsuitableDatabaseError where it can't serve.
    """
    from alembic import command
    from alembic.config import Config

    try:
        with pool.connect() as connection, connection.begin():
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            before = current(connection)
            if before is not None and before not in revisions():
                raise NewerDatabaseError(before)
            if before != head():
                _prepare(connection)
                config = Config()
                config.set_main_option("script_location", str(_FOLDER))
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
            return before, head()
    except (OperationalError, InterfaceError) as error:
        raise DatabaseAwayError(reason(error)) from error
    except ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) != _NO_PRIVILEGE:
            raise
        raise UnsuitableDatabaseError(f"{reason(error)}.") from error


def _prepare(connection: Connection) -> None:
    """Roles and the schema, before the first revision; harmless when they are there."""
    version = int(connection.scalar(text("SELECT current_setting('server_version_num')")) or 0)
    if version < _OLDEST_POSTGRES:
        raise UnsuitableDatabaseError(f"it is version {version // 10_000}.")
    become = "SET" if version >= _SET_IS_A_PRIVILEGE else "MEMBER"
    for role in ("orchestrator_owner", "orchestrator_app", "orchestrator_worker", "orchestrator_scheduler"):
        if not connection.scalar(text("SELECT true FROM pg_roles WHERE rolname = :role"), {"role": role}):
            connection.execute(text(f"CREATE ROLE {role} NOLOGIN"))
        if not connection.scalar(text("SELECT pg_has_role(current_user, :role, :how)"), {"role": role, "how": become}):
            connection.execute(text(f"GRANT {role} TO CURRENT_USER"))
    for schema in (SCHEMA, QUEUE_SCHEMA):
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION orchestrator_owner"))
    connection.execute(text("SET LOCAL ROLE orchestrator_owner"))
    connection.execute(text("SET LOCAL lock_timeout = '5s'"))
