"""Ending a run: once, with its event in the same transaction."""

from dataclasses import asdict

from sqlalchemy.orm import Session

from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.types import Health
from orchestrator.domains.runs import queries, rules
from orchestrator.domains.runs.events import RunEnded
from orchestrator.domains.runs.types import Attempt, Failure, Run, RunStatus
from orchestrator.kernel.events import emit


def end(
    tx: Session, attempt: Attempt, *, status: RunStatus, failure: Failure | None = None, exit_code: int | None = None
) -> Run:
    """End a run as its attempt. Raises LeaseLostError where this attempt no longer holds it."""
    run = queries.settle(tx, attempt, status=status, failure=failure, exit_code=exit_code)
    integrations.note_health(tx, run.integration_id, _HEALTH.get(status))
    if (works := rules.sign_in_works(status, failure)) is not None:
        integrations.note_sign_in(tx, run.integration_id, works=works)
    announce(tx, run)
    return run


_HEALTH = {
    RunStatus.SUCCEEDED: Health.HEALTHY,
    RunStatus.PARTIAL: Health.DEGRADED,
    RunStatus.FAILED: Health.FAILING,
    RunStatus.TIMED_OUT: Health.DEGRADED,
}


def announce(tx: Session, run: Run) -> None:
    """Record that a run has ended."""
    emit(
        tx,
        RunEnded(
            org_id=run.org_id,
            run_id=run.id,
            integration_id=run.integration_id,
            status=run.status.value,
            failure=None if run.failure is None else asdict(run.failure),
        ),
    )
