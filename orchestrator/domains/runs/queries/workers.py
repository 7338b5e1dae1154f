"""The processes that execute detached runs."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from orchestrator.domains.runs.tables import WorkerRow
from orchestrator.domains.runs.types import QueueFigures, Worker


def register(tx: Session, name: str, *, host: str, pid: int, version: str, concurrency: int) -> None:
    """A worker begins."""
    tx.execute(insert(WorkerRow).values(name=name, host=host, pid=pid, version=version, concurrency=concurrency))


def beat(tx: Session, name: str, *, draining: bool) -> bool:
    """A worker says that it lives; False where it was struck off."""
    change = update(WorkerRow).where(WorkerRow.name == name)
    said = change.values(heartbeat_at=func.clock_timestamp(), draining=draining).returning(WorkerRow.name)
    return tx.scalar(said) is not None


def strike_off(tx: Session, names: Sequence[str]) -> None:
    """Workers are gone; harmless where they are already."""
    tx.execute(delete(WorkerRow).where(WorkerRow.name.in_(names)))


def forget_silent(tx: Session, *, after: timedelta) -> None:
    """Strike off workers that have said nothing for long."""
    tx.execute(delete(WorkerRow).where(WorkerRow.heartbeat_at < func.clock_timestamp() - after))


def figures(tx: Session, *, alive: timedelta) -> QueueFigures:
    """Totals of the line and of all workers, by a reviewed function."""
    row = tx.execute(text("SELECT * FROM orchestrator.queue_figures(:alive)"), {"alive": alive}).one()
    return QueueFigures(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it


def workers(tx: Session, *, alive: timedelta) -> list[Worker]:
    """All workers, the oldest first."""
    busy = text("SELECT worker, busy FROM orchestrator.slots_taken()")
    taken = {row.worker: row.busy for row in tx.execute(busy)}
    lives = WorkerRow.heartbeat_at > func.clock_timestamp() - alive
    return [
        Worker(
            name=row.name,
            host=row.host,
            pid=row.pid,
            version=row.version,
            concurrency=row.concurrency,
            busy=taken.get(row.name, 0),
            started_at=row.started_at,
            heartbeat_at=row.heartbeat_at,
            draining=row.draining,
            alive=recent,
        )
        for row, recent in tx.execute(select(WorkerRow, lives).order_by(WorkerRow.started_at))
    ]
