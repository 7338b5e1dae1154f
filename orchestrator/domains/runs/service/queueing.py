"""Detached runs: put into the line, handed to workers in fair turns, put back where a try failed."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta

from sqlalchemy.orm import Session

from orchestrator.domains.runs import queries, rules
from orchestrator.domains.runs.events import RunRetrying
from orchestrator.domains.runs.service.ending import end
from orchestrator.domains.runs.types import Attempt, Failure, Run, RunRequest, RunStatus
from orchestrator.drivers.bundle import Drivers
from orchestrator.kernel.events import emit
from orchestrator.kernel.settings import Settings


def enqueue(drivers: Drivers, tx: Session, org_id: str, requests: Sequence[RunRequest]) -> Mapping[str, Run | None]:
    """Queue runs for workers in the caller's transaction, by integration; set-based, so that thousands cost little.

    None where the integration has an active run already, which then stays the only one. Whether the run could do
    anything is seen when it starts. Call `dispatch` after the commit, or let a worker's next look do it.
    """
    return queries.enqueue(tx, org_id, requests, timeout=drivers.settings.runs.timeout)


def dispatch(drivers: Drivers) -> int:
    """Hand waiting runs to free slots of living workers, of every organization in turns; answers how many."""
    limits, lease = drivers.settings.queue, drivers.settings.runs.lease
    with drivers.db.anonymous() as tx:
        return queries.dispatch(
            tx, total=limits.total, per_org=limits.per_organization, per_provider=limits.per_provider, alive=lease
        )


def end_or_try_again(
    tx: Session,
    settings: Settings,
    attempt: Attempt,
    *,
    status: RunStatus,
    failure: Failure | None = None,
    exit_code: int | None = None,
) -> Run:
    """End the run as its attempt, or let it wait for another try. Raises LeaseLostError."""
    limits = settings.queue
    delay = rules.next_try(status, failure, attempt, attempts=limits.attempts, backoff=limits.backoff)
    if delay is not None:
        run = _put_back(tx, attempt, failure=failure, exit_code=exit_code, delay=delay, counts=True)
        if run is not None:
            return run
        status, failure = RunStatus.CANCELLED, None  # asked for while the attempt failed
    return end(tx, attempt, status=status, failure=failure, exit_code=exit_code)


def give_back(tx: Session, attempt: Attempt) -> Run:
    """End an attempt of a worker that stops; another takes the run over from the committed state."""
    run = _put_back(tx, attempt, failure=None, exit_code=None, delay=timedelta(0), counts=False)
    return run or end(tx, attempt, status=RunStatus.CANCELLED)


def _put_back(
    tx: Session, attempt: Attempt, *, failure: Failure | None, exit_code: int | None, delay: timedelta, counts: bool
) -> Run | None:
    run = queries.put_back(tx, attempt, failure=failure, exit_code=exit_code, delay=delay, counts=counts)
    if run is not None:
        fact = RunRetrying(
            org_id=run.org_id,
            run_id=run.id,
            integration_id=run.integration_id,
            attempt=attempt.number,
            seconds=delay.total_seconds(),
            failure=None if failure is None else asdict(failure),
        )
        emit(tx, fact)
    return run
