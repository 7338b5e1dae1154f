"""Ending a run: once, with its event in the same transaction."""

from dataclasses import asdict

from sqlalchemy.orm import Session

from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.types import Ended, Trouble
from orchestrator.domains.runs import queries, rules
from orchestrator.domains.runs.events import RunEnded
from orchestrator.domains.runs.types import Attempt, Failure, Origin, Run, RunKind, RunStatus
from orchestrator.kernel.events import emit
from orchestrator.kernel.settings import HealthSettings


def end(
    tx: Session,
    settings: HealthSettings,
    attempt: Attempt,
    *,
    status: RunStatus,
    failure: Failure | None = None,
    exit_code: int | None = None,
) -> Run:
    """End a run as its attempt. Raises LeaseLostError where this attempt no longer holds it."""
    run = queries.settle(tx, attempt, status=status, failure=failure, exit_code=exit_code)
    if run.kind is RunKind.SYNC and (ended := _ENDED.get(status)) is not None:
        trouble = None if failure is None else _trouble(failure)
        integrations.note_run(
            tx, settings, org_id=run.org_id, integration_id=run.integration_id, ended=ended, trouble=trouble
        )
    if (works := rules.sign_in_works(status, failure)) is not None:
        integrations.note_sign_in(tx, run.integration_id, works=works)
    announce(tx, run)
    return run


_ENDED = {
    RunStatus.SUCCEEDED: Ended.SUCCEEDED,
    RunStatus.PARTIAL: Ended.PARTIAL,
    RunStatus.FAILED: Ended.FAILED,
    RunStatus.TIMED_OUT: Ended.FAILED,
}


def _trouble(failure: Failure) -> Trouble:
    return Trouble(
        message=failure.message,
        hint=failure.hint,
        needs_a_person=rules.needs_a_person(failure),
        shared=failure.origin is not Origin.SOURCE,
    )


def announce(tx: Session, run: Run) -> None:
    """Record that a run has ended."""
    emit(
        tx,
        RunEnded(
            org_id=run.org_id,
            run_id=run.id,
            integration_id=run.integration_id,
            kind=run.kind.value,
            status=run.status.value,
            failure=None if run.failure is None else asdict(run.failure),
        ),
    )
