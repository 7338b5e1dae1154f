"""The installation's own row: which Postgres it works in, and whether its workers are paused."""

from sqlalchemy import Row, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from orchestrator.domains.runs.tables import InstallationRow
from orchestrator.domains.runs.types import Home, Installation

_DATABASE = text("SELECT oid::bigint FROM pg_catalog.pg_database WHERE datname = current_database()")
_MAY_ASK = text("SELECT has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')")
_CLUSTER = text("SELECT system_identifier::text FROM pg_catalog.pg_control_system()")


def home(tx: Session) -> Home:
    """The Postgres that answers now, by identifiers that neither a dump nor a copy of files into another takes along.

    cluster is empty where the provider lets nobody ask.
    """
    cluster = tx.scalar(_CLUSTER) if tx.scalar(_MAY_ASK) else ""
    return Home(cluster=cluster or "", database=tx.execute(_DATABASE).scalar_one())


def installation(tx: Session) -> Installation | None:
    """What the row says; None where no worker has begun yet."""
    row = tx.scalars(select(InstallationRow)).one_or_none()
    if row is None or row.cluster is None or row.database is None:
        return None
    return Installation(
        id=str(row.id), home=Home(cluster=row.cluster, database=row.database), paused=row.paused_because or None
    )


def settle_in(tx: Session, home: Home) -> None:
    """Note where the installation works, unless that is noted already."""
    added = insert(InstallationRow).values(cluster=home.cluster, database=home.database)
    unknown = InstallationRow.cluster.is_(None)
    here = {"cluster": home.cluster, "database": home.database}
    tx.execute(added.on_conflict_do_update(index_elements=["single"], set_=here, where=unknown))


def pause(tx: Session, because: str) -> None:
    """Workers begin nothing from now on; what was said first stays."""
    unpaused = update(InstallationRow).where(InstallationRow.paused_at.is_(None))
    tx.execute(unpaused.values(paused_at=func.clock_timestamp(), paused_because=because))


def resume(tx: Session, home: Home) -> None:
    """Workers go on, here; what they remember of the installation as it was counts no more."""
    change = update(InstallationRow).values(
        id=func.gen_random_uuid(), cluster=home.cluster, database=home.database, paused_at=None, paused_because=""
    )
    tx.execute(change)


def paused(tx: Session) -> str | None:
    """Why workers begin nothing; None where they do."""
    row: Row[tuple[str]] | None = tx.execute(
        select(InstallationRow.paused_because).where(InstallationRow.paused_at.is_not(None))
    ).one_or_none()
    return None if row is None else row.paused_because
