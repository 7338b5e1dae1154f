"""Runs and their attempts: rows in, values out; the database settles races."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from sqlalchemy import Select, case, func, select, text, tuple_, union_all, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from orchestrator.domains.runs.errors import LeaseLostError
from orchestrator.domains.runs.queries import queue
from orchestrator.domains.runs.queries.values import as_run
from orchestrator.domains.runs.tables import AttemptRow, RunRow
from orchestrator.domains.runs.types import (
    Attempt,
    Failure,
    OpenAttempt,
    Run,
    RunKind,
    RunStatus,
)
from orchestrator.kernel import ids

_ACTIVE = (RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.RETRYING, RunStatus.CANCELLING)
HELD = (RunStatus.RUNNING, RunStatus.CANCELLING)
_WAITING = (RunStatus.QUEUED, RunStatus.RETRYING)
_UNENDED = (*_WAITING, *HELD)
ONE_ACTIVE = "runs_one_active"  # the index that keeps an integration to one of them
_KINDS = tuple(kind.value for kind in RunKind)  # of runs that read the source; one of them at a time


def insert_run(
    tx: Session, org_id: str, integration_id: str, *, worker: str, lease: timedelta, **values: Any
) -> Run | None:
    """Queue a run, watched by who asked for it; None where the integration was deleted.

    One that does another again goes on from its backfill's state. Raises IntegrityError where the integration has an
    active one.
    """
    if values.get("retry_of") is not None:
        ended = select(RunRow.backfill_state).where(RunRow.id == values["retry_of"])
        values["backfill_state"] = ended.scalar_subquery()
    row = insert(RunRow).values(org_id=org_id, id=ids.new("run"), integration_id=integration_id, **values)
    made = tx.scalars(row.returning(RunRow)).one_or_none()
    if made is None:
        return None
    _insert_attempt(tx, org_id, made.id, epoch=0, worker=worker, lease=lease)
    return as_run(made)


def _insert_attempt(tx: Session, org_id: str, run_id: str, *, epoch: int, worker: str, lease: timedelta) -> None:
    tx.execute(
        insert(AttemptRow).values(
            org_id=org_id,
            run_id=run_id,
            epoch=epoch,
            worker=worker,
            lease_until=func.clock_timestamp() + lease,
        )
    )


def _finish_attempts(tx: Session, run_id: str, *, before: int, exit_code: int | None = None) -> None:
    """End the attempts of a run whose epoch is below `before`."""
    unended = update(AttemptRow).where(
        AttemptRow.run_id == run_id, AttemptRow.epoch < before, AttemptRow.finished_at.is_(None)
    )
    tx.execute(unended.values(finished_at=func.clock_timestamp(), exit_code=exit_code))


def run(tx: Session, run_id: str) -> Run | None:
    """The run of this id."""
    row = tx.scalars(select(RunRow).where(RunRow.id == run_id)).one_or_none()
    return None if row is None else as_run(row)


def runs_like(tx: Session, beginning: str) -> list[Run]:
    """Up to two runs whose id starts so; two are enough to know that it isn't unique."""
    try:
        low, high = ids.bounds("run", beginning)
    except ValueError:
        return []
    between = RunRow.id.between(ids.encode("run", low), ids.encode("run", high))
    return [as_run(row) for row in tx.scalars(select(RunRow).where(between).order_by(RunRow.id).limit(2))]


def runs(
    tx: Session,
    *,
    integration_id: str | None = None,
    statuses: Sequence[RunStatus] = (),
    before: str | None = None,
    limit: int = 20,
) -> list[Run]:
    """The newest runs first; with `before`, those that are older than this one."""
    newest = select(RunRow.id).order_by(RunRow.id.desc()).limit(limit)
    if integration_id is not None:
        newest = newest.where(RunRow.integration_id == integration_id)
    if before is not None:
        newest = newest.where(RunRow.id < before)
    # An index leads to the newest of each status; over several at once it would have to read and sort them all.
    of_each = [newest.where(RunRow.status == status.value).subquery() for status in statuses]
    found = union_all(*(select(one.c.id) for one in of_each or [newest.subquery()])).subquery()
    wanted = select(RunRow).join(found, RunRow.id == found.c.id).order_by(RunRow.id.desc()).limit(limit)
    return [as_run(row) for row in tx.scalars(wanted)]


def active_run(tx: Session, integration_id: str) -> Run | None:
    """The run that is under way for an integration."""
    row = tx.scalars(_under_way().where(RunRow.integration_id == integration_id)).one_or_none()
    return None if row is None else as_run(row)


def active_runs(tx: Session, integrations: Sequence[tuple[str, str]]) -> list[Run]:
    """The runs that are under way for these (organization, integration), at most one for each."""
    wanted = _under_way().where(tuple_(RunRow.org_id, RunRow.integration_id).in_(integrations))
    return [as_run(row) for row in tx.scalars(wanted)]


def _under_way() -> Select[tuple[RunRow]]:
    return select(RunRow).where(RunRow.kind.in_(_KINDS), RunRow.status.in_([s.value for s in _ACTIVE]))


def claim(tx: Session, run_id: str, *, worker: str, lease: timedelta) -> Attempt | None:
    """Begin an attempt: waiting becomes running and the epoch moves on, in one statement; None if it doesn't wait."""
    change = (
        update(RunRow)
        .where(RunRow.id == run_id, RunRow.status.in_([s.value for s in _WAITING]))
        .values(
            status=RunStatus.RUNNING.value,
            epoch=RunRow.epoch + 1,
            started_at=func.coalesce(RunRow.started_at, func.clock_timestamp()),
        )
    )
    row = tx.scalars(change.returning(RunRow), execution_options={"populate_existing": True}).one_or_none()
    if row is None:
        return None
    _finish_attempts(tx, row.id, before=row.epoch)
    _insert_attempt(tx, row.org_id, row.id, epoch=row.epoch, worker=worker, lease=lease)
    return Attempt(
        org_id=row.org_id,
        run_id=row.id,
        integration_id=row.integration_id,
        epoch=row.epoch,
        number=queue.count_attempt(tx, row.id, worker=worker),
    )


def hold(tx: Session, attempt: Attempt, *, renew: timedelta | None = None) -> RunStatus:
    """The run's status, so that its worker sees a cancellation; with `renew`, its lease from now on for so long.

    Until the transaction ends nobody takes the run over, so that what else it writes is written by its holder.
    Raises LeaseLostError where the attempt is over.
    """
    held = (AttemptRow.run_id == attempt.run_id, AttemptRow.epoch == attempt.epoch, AttemptRow.finished_at.is_(None))
    current = select(RunRow.status).where(
        RunRow.id == attempt.run_id, RunRow.epoch == attempt.epoch, select(AttemptRow.epoch).where(*held).exists()
    )
    status = tx.scalar(current.with_for_update(read=True))
    if status is None:
        raise LeaseLostError(attempt.run_id)
    if renew is not None:
        tx.execute(update(AttemptRow).where(*held).values(lease_until=func.clock_timestamp() + renew))
    return RunStatus(status)


def ask_to_cancel(tx: Session, run_id: str) -> Run | None:
    """Mark a run as to be cancelled; one that waits is cancelled at once. None where it has ended."""
    waiting = RunRow.status.in_([s.value for s in _WAITING])
    aimed = case((waiting, RunStatus.CANCELLED.value), else_=RunStatus.CANCELLING.value)
    ended = case((waiting, func.clock_timestamp()))
    change = update(RunRow).where(RunRow.id == run_id, RunRow.status.in_([s.value for s in _ACTIVE]))
    row = tx.scalars(
        change.values(status=aimed, finished_at=ended).returning(RunRow), execution_options={"populate_existing": True}
    ).one_or_none()
    if row is None:
        return None
    if RunStatus(row.status).ended:
        _finish_attempts(tx, run_id, before=row.epoch + 1)
        queue.leave(tx, run_id)
    return as_run(row)


def attempt(tx: Session, run_id: str, epoch: int) -> Attempt | None:
    """The attempt as a fence for writes; None where the run has moved on."""
    row = tx.scalars(select(RunRow).where(RunRow.id == run_id, RunRow.epoch == epoch)).one_or_none()
    if row is None:
        return None
    return Attempt(
        org_id=row.org_id,
        run_id=row.id,
        integration_id=row.integration_id,
        epoch=row.epoch,
        number=queue.attempts(tx, row.id),
    )


def settle(tx: Session, attempt: Attempt, *, status: RunStatus, failure: Failure | None, exit_code: int | None) -> Run:
    """End the run and its attempt, once. Raises LeaseLostError where this attempt no longer holds it."""
    change = (
        update(RunRow)
        .where(
            RunRow.id == attempt.run_id, RunRow.epoch == attempt.epoch, RunRow.status.in_([s.value for s in _UNENDED])
        )
        .values(
            status=status.value,
            failure=None if failure is None else asdict(failure),
            finished_at=func.clock_timestamp(),
            backfill_state=None if status is RunStatus.SUCCEEDED else RunRow.backfill_state,
        )
    )
    row = tx.scalars(change.returning(RunRow), execution_options={"populate_existing": True}).one_or_none()
    if row is None:
        raise LeaseLostError(attempt.run_id)
    _finish_attempts(tx, attempt.run_id, before=attempt.epoch + 1, exit_code=exit_code)
    queue.leave(tx, attempt.run_id)
    return as_run(row)


def put_back(
    tx: Session, attempt: Attempt, *, failure: Failure | None, exit_code: int | None, delay: timedelta, counts: bool
) -> Run | None:
    """End the attempt and let the run wait for another. None where somebody asked to stop it, or it isn't ours.

    counts: whether this attempt was one of the run's attempts
    """
    change = (
        update(RunRow)
        .where(RunRow.id == attempt.run_id, RunRow.epoch == attempt.epoch, RunRow.status == RunStatus.RUNNING.value)
        .values(status=RunStatus.RETRYING.value, failure=None if failure is None else asdict(failure))
    )
    row = tx.scalars(change.returning(RunRow), execution_options={"populate_existing": True}).one_or_none()
    if row is None:
        return None
    _finish_attempts(tx, attempt.run_id, before=attempt.epoch + 1, exit_code=exit_code)
    queue.wait_again(tx, attempt.run_id, delay=delay, counts=counts)
    return as_run(row)


def open_attempts(tx: Session) -> list[OpenAttempt]:
    """Attempts nobody has ended, of every organization, by a reviewed function."""
    rows = tx.execute(text("SELECT org_id, run_id, epoch, worker, lapsed FROM orchestrator.open_attempts()"))
    return [
        OpenAttempt(
            org_id=ids.encode("org", row.org_id),
            run_id=ids.encode("run", row.run_id),
            epoch=row.epoch,
            worker=row.worker,
            lapsed=row.lapsed,
        )
        for row in rows
    ]
