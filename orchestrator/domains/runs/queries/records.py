"""What a run said and moved."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from orchestrator.domains.runs.tables import AttemptRow, RunLogRow, RunStreamRow
from orchestrator.domains.runs.types import (
    PHASES,
    Attempt,
    LogEntry,
    StreamCount,
)


def add_logs(tx: Session, attempt: Attempt, lines: Iterable[tuple[datetime, str, str, str]]) -> None:
    """Append lines (at, level, source, message), in order; `hold` the run in the same transaction."""
    rows = [
        {
            "org_id": attempt.org_id,
            "run_id": attempt.run_id,
            "at": at,
            "level": level,
            "source": source,
            "message": said,
        }
        for at, level, source, said in lines
    ]
    if rows:
        tx.execute(insert(RunLogRow), rows)


def logs(tx: Session, run_id: str, *, after: int = 0, limit: int = 1000) -> list[LogEntry]:
    """Lines of a run in order, from a cursor on."""
    wanted = select(RunLogRow).where(RunLogRow.run_id == run_id, RunLogRow.id > after).order_by(RunLogRow.id)
    return [
        LogEntry(id=row.id, at=row.at, level=row.level, source=row.source, message=row.message)
        for row in tx.scalars(wanted.limit(limit))
    ]


def last_log_id(tx: Session, run_id: str, *, lines: int) -> int:
    """The cursor that leaves the last `lines` lines to read."""
    newest = select(RunLogRow.id).where(RunLogRow.run_id == run_id).order_by(RunLogRow.id.desc()).limit(lines)
    oldest_wanted = tx.scalar(select(func.min(newest.subquery().c.id)))
    return 0 if oldest_wanted is None else oldest_wanted - 1


def save_counts(tx: Session, attempt: Attempt, counts: Iterable[StreamCount]) -> None:
    """Store how far each stream is, replacing what this run stored before; `hold` it in the same transaction."""
    rows = [
        {
            "org_id": attempt.org_id,
            "run_id": attempt.run_id,
            "stream": count.stream,
            "records_read": count.read,
            "records_written": count.written,
            "records_deleted": count.deleted,
            "records_rejected": count.rejected,
            "bytes": count.bytes,
            "seconds": count.seconds,
            "api_calls": count.api_calls,
        }
        for count in counts
    ]
    if rows:
        added = insert(RunStreamRow)
        key = ["org_id", "run_id", "stream"]
        changes = {name: added.excluded[name] for name in rows[0] if name not in key}
        tx.execute(added.on_conflict_do_update(index_elements=key, set_=changes), rows)


def save_phases(tx: Session, attempt: Attempt, phases: Mapping[str, float]) -> None:
    """Store how long each phase of an attempt took, in seconds; `hold` its run in the same transaction."""
    mine = (AttemptRow.run_id == attempt.run_id, AttemptRow.epoch == attempt.epoch)
    tx.execute(update(AttemptRow).where(*mine).values(phases=dict(phases)))


def phases(tx: Session, run_id: str) -> dict[str, float]:
    """Seconds by phase, in the order they come, of the newest attempt that says so; empty where none does."""
    told = select(AttemptRow.phases).where(AttemptRow.run_id == run_id, AttemptRow.phases.is_not(None))
    found = tx.scalar(told.order_by(AttemptRow.epoch.desc()).limit(1)) or {}
    return {phase: found[phase] for phase in PHASES if phase in found}


def counts(tx: Session, run_id: str) -> tuple[StreamCount, ...]:
    """What a run moved, by stream."""
    rows = tx.scalars(select(RunStreamRow).where(RunStreamRow.run_id == run_id).order_by(RunStreamRow.stream))
    return tuple(
        StreamCount(
            stream=row.stream,
            read=row.records_read,
            written=row.records_written,
            deleted=row.records_deleted,
            rejected=row.records_rejected,
            bytes=row.bytes,
            seconds=row.seconds,
            api_calls=row.api_calls,
        )
        for row in rows
    )
