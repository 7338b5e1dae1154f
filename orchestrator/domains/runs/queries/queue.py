"""The line of detached runs: who waits, who holds a slot."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from orchestrator.domains.runs.queries.values import as_run
from orchestrator.domains.runs.tables import QueueRow, RunRow
from orchestrator.domains.runs.types import PlaceInLine, Run, RunRequest
from orchestrator.kernel import ids

_ONE_ACTIVE = text("kind = 'sync' AND status IN ('queued', 'running', 'retrying', 'cancelling')")


def enqueue(
    tx: Session, org_id: str, requests: Sequence[RunRequest], *, timeout: timedelta
) -> Mapping[str, Run | None]:
    """Queue runs for workers, by integration; None where the integration has an active run, which then stays.

    timeout: of requests that name none
    """
    if not requests:
        return {}
    rows = [
        {
            "org_id": org_id,
            "id": ids.new("run"),
            "integration_id": request.integration_id,
            "trigger": request.trigger,
            "streams": None if request.streams is None else list(request.streams),
            "full_refresh": request.full_refresh,
            "timeout": request.timeout or timeout,
            "detached": True,
        }
        for request in requests
    ]
    added = insert(RunRow).on_conflict_do_nothing(index_elements=["org_id", "integration_id"], index_where=_ONE_ACTIVE)
    made = {row.integration_id: as_run(row) for row in tx.scalars(added.returning(RunRow), rows)}
    providers = {request.integration_id: request.provider for request in requests}
    if made:
        places = [
            {"org_id": org_id, "run_id": run.id, "provider": providers[run.integration_id]} for run in made.values()
        ]
        tx.execute(insert(QueueRow), places)
    return {request.integration_id: made.get(request.integration_id) for request in requests}


def leave(tx: Session, run_id: str) -> None:
    """Give up a run's place and slot; harmless where it has none."""
    tx.execute(delete(QueueRow).where(QueueRow.run_id == run_id))


def wait_again(tx: Session, run_id: str, *, delay: timedelta, counts: bool) -> None:
    """Give the slot back and wait in line again, not to be tried before `delay` is over.

    counts: whether the try that ends here counts as one of the run's attempts
    """
    change = update(QueueRow).where(QueueRow.run_id == run_id)
    tx.execute(
        change.values(
            dispatched_at=None,
            worker=None,
            not_before=func.clock_timestamp() + delay,
            attempts=QueueRow.attempts - (0 if counts else 1),
        )
    )


def count_attempt(tx: Session, run_id: str) -> int:
    """One try more; answers how many there were. 0 where the run has no place in the line."""
    change = update(QueueRow).where(QueueRow.run_id == run_id).values(attempts=QueueRow.attempts + 1)
    return tx.scalar(change.returning(QueueRow.attempts)) or 0


def attempts(tx: Session, run_id: str) -> int:
    """How many tries of a run counted so far; 0 where it has no place in the line."""
    return tx.scalar(select(QueueRow.attempts).where(QueueRow.run_id == run_id)) or 0


def dispatch(tx: Session, *, total: int, per_org: int, per_provider: int, alive: timedelta) -> int:
    """Hand waiting runs to free slots in fair turns, across organizations; answers how many.

    total:  slots at most, however many workers there are
    alive:  how recent a worker's heartbeat must be for its slots to count
    """
    call = text("SELECT orchestrator.dispatch(:total, :per_org, :per_provider, :alive)")
    return int(tx.scalar(call, {"total": total, "per_org": per_org, "per_provider": per_provider, "alive": alive}) or 0)


def place(tx: Session, run_id: str, *, alive: timedelta) -> PlaceInLine | None:
    """Where a run stands; None where it doesn't wait for a worker."""
    call = text("SELECT * FROM orchestrator.place_in_line(:run, :alive)")
    row = tx.execute(call, {"run": ids.decode("run", run_id), "alive": alive}).one_or_none()
    return None if row is None else PlaceInLine(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it


def requeue_unclaimed(tx: Session, *, after: timedelta) -> int:
    """Put runs back into the line that were handed over and never claimed; answers how many."""
    return int(tx.scalar(text("SELECT orchestrator.requeue_unclaimed(:after)"), {"after": after}) or 0)
