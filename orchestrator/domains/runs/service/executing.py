"""Doing one attempt: claim, plan, sync, settle. No transaction is open while Meltano runs."""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import monotonic, sleep
from typing import Any

from sqlalchemy.orm import Session

from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.types import Integration, Plan
from orchestrator.domains.runs import queries, rules
from orchestrator.domains.runs.errors import LeaseLostError, RunEndedError
from orchestrator.domains.runs.events import RunStarted
from orchestrator.domains.runs.rules import Outcome
from orchestrator.domains.runs.service.pausing import remember
from orchestrator.domains.runs.service.queueing import end_or_try_again, give_back
from orchestrator.domains.runs.service.recording import OnProgress, Recorder
from orchestrator.domains.runs.service.scratching import scratch
from orchestrator.domains.runs.types import Attempt, Failure, FailureKind, Origin, Progress, Run, RunKind, RunStatus
from orchestrator.drivers.bundle import Drivers
from orchestrator.drivers.meltano.output import Source
from orchestrator.drivers.meltano.process import Stopped
from orchestrator.drivers.meltano.runner import Exit
from orchestrator.drivers.meltano.values import Project
from orchestrator.kernel.db import DatabaseAwayError, Role
from orchestrator.kernel.errors import OrchestratorError
from orchestrator.kernel.events import emit

_RETRY_EVERY = 0.5  # seconds
_ORIGINS = {Source.TAP: Origin.SOURCE, Source.TARGET: Origin.DESTINATION}


def execute(
    drivers: Drivers,
    integration: Integration,
    run: Run,
    *,
    cancel: threading.Event | None = None,
    drain: threading.Event | None = None,
    on_progress: OnProgress = lambda _: None,
) -> Run:
    """Do a waiting run to its end, or to its next attempt; the same call serves the command line and workers.

    cancel:  set it to stop the run; every process is ended and the run settles as cancelled
    drain:   set it to have a detached run given back as soon as it has committed state, or after a while
    Raises RunEndedError where it isn't queued any more, LeaseLostError where another worker took it over, and
    DatabaseAwayError after a lease's time without a database: the next start then ends the run.
    """
    stop = cancel or threading.Event()
    asked = monotonic()
    with drivers.db.transaction(run.org_id, role=Role.WORKER) as tx:
        attempt = queries.claim(tx, run.id, worker=drivers.worker.name, lease=drivers.settings.runs.lease)
        if attempt is None:
            raise RunEndedError(queries.run(tx, run.id) or run)
        installation = queries.installation(tx)
        started = RunStarted(org_id=run.org_id, run_id=run.id, integration_id=run.integration_id, kind=run.kind.value)
        emit(tx, started)
    remember(drivers, None if installation is None else installation.id, attempt)
    with Recorder(drivers, attempt, stop, on_progress, drain, claimed=asked) as recorder:
        status, failure, code = _attempt(drivers, integration, run, recorder)
        recorder.plugins_ended()
        if failure is not None:
            failure = rules.addressed(failure, run_id=run.id, integration=integration.name)
            recorder.say(f"{failure.message} {failure.hint}".strip(), level="error")
        recorder.flush()
        if status is RunStatus.CANCELLED and recorder.drained:
            return _patiently(drivers, attempt, lambda tx: give_back(tx, drivers.settings, attempt))
        return _settled(drivers, attempt, status, failure, code)


def _attempt(
    drivers: Drivers, integration: Integration, run: Run, recorder: Recorder
) -> tuple[RunStatus, Failure | None, int | None]:
    """Plan and sync; foreseen errors become the run's failure."""
    try:
        recorder.show(Progress(phase="preparing"))
        with scratch(drivers, integration, run, lost=lambda: recorder.lost is not None) as schema:
            plan = _prepared(drivers, integration, run, recorder, schema=schema)
            ended = _synced(drivers, plan, run, recorder)
    except LeaseLostError:
        raise
    except OrchestratorError as error:
        return (*_refused(drivers, recorder, error), None)
    except BaseException:
        with suppress(OrchestratorError):
            stopped = recorder.cancel.is_set()
            _settled(drivers, recorder.attempt, *_unexpected(stopped=stopped), None)
        raise
    if isinstance(ended.callback_error, LeaseLostError):
        raise ended.callback_error
    recorder.assert_held()
    outcome = _outcome(ended, recorder, counted=plan.counted)
    recorder.complete = outcome.complete
    status, failure = rules.judge(outcome, timeout=run.timeout, stall=drivers.settings.runs.stall)
    if status is RunStatus.FAILED and isinstance(ended.callback_error, OrchestratorError):
        failure = rules.refused(ended.callback_error)
    return status, failure, ended.code


def _refused(drivers: Drivers, recorder: Recorder, error: OrchestratorError) -> tuple[RunStatus, Failure | None]:
    if recorder.stalled:
        return RunStatus.FAILED, rules.stalled(drivers.settings.runs.stall)
    if recorder.cancel.is_set() and not recorder.lost:
        return RunStatus.CANCELLED, None
    return RunStatus.FAILED, rules.refused(error)


def _unexpected(*, stopped: bool) -> tuple[RunStatus, Failure | None]:
    if stopped:
        return RunStatus.CANCELLED, None
    message = "Something unexpected went wrong in orchestrator itself."
    return RunStatus.FAILED, Failure(kind=FailureKind.INTERNAL, origin=Origin.PLATFORM, message=message)


def _prepared(drivers: Drivers, integration: Integration, run: Run, recorder: Recorder, *, schema: str | None) -> Plan:
    plan = integrations.plan(
        drivers, integration, only=run.streams, window=run.window, schema=schema, continued=_continued(drivers, run)
    )
    how = f", as {plan.encoding} batches" if plan.encoding else ""
    recorder.say(f"{rules.doing(run)} {', '.join(plan.streams)} into {schema or integration.target_schema}{how}.")
    recorder.show(Progress(phase="starting"))
    return plan


def _synced(drivers: Drivers, plan: Plan, run: Run, recorder: Recorder) -> Exit:
    bookmarks = _bookmarks(drivers, run)
    recorder.start_from(bookmarks, _APPENDS[run.kind])
    begin = bookmarks
    if run.full_refresh:
        begin = rules.without(bookmarks, plan.streams)
        recorder.start_over(bookmarks.keys() - begin.keys())
    notes = _notes(drivers, run)
    project = Project(
        extractor=plan.extractor,
        loader=plan.loader,
        catalog=plan.catalog,
        state_id=run.integration_id,
        notes=notes,
    )
    ended = drivers.meltano.run(
        project,
        on_output=recorder.output,
        load_state=lambda _id: rules.state_of(begin),
        save_state=lambda _id, state: recorder.save_state(state),
        fresh_token=plan.fresh_token,
        timeout=run.timeout,
        cancel=recorder.cancel,
        lease=recorder.lease,
    )
    if ended.unredacted:
        said = f"Secrets in use that are too short to be taken out of logs: {ended.unredacted}."
        recorder.say(said, level="warning")
    if ended.notes not in (None, notes) and run.kind is not RunKind.DRY_RUN:
        recorder.save_notes(run.integration_id, ended.notes)
    return ended


_APPENDS = {
    RunKind.SYNC: queries.append_state,
    RunKind.BACKFILL: queries.append_backfill_state,
    RunKind.DRY_RUN: lambda _tx, _attempt, _moved: None,
}


def _bookmarks(drivers: Drivers, run: Run) -> dict[str, Mapping[str, Any]]:
    """Where each stream goes on: a backfill where it was itself."""
    with drivers.db.transaction(run.org_id, role=Role.WORKER) as tx:
        if run.kind is RunKind.BACKFILL:
            return dict(queries.backfill_state(tx, run.id))
        entries = queries.current_state(tx, run.integration_id)
    return {name: one.bookmark for name, one in entries.items() if one.bookmark}


def _continued(drivers: Drivers, run: Run) -> tuple[str, ...]:
    """Streams of which only what changed will come, since their earlier records are in the destination."""
    if run.full_refresh or run.kind is RunKind.DRY_RUN:
        return ()
    with drivers.db.transaction(run.org_id, role=Role.WORKER) as tx:
        there = queries.current_state(tx, run.integration_id)
        return queries.written_before(tx, run.integration_id, [name for name, one in there.items() if one.bookmark])


def _notes(drivers: Drivers, run: Run) -> str | None:
    """What the loader noted of the integration's own schema."""
    if run.kind is RunKind.DRY_RUN:
        return None
    with drivers.db.transaction(run.org_id, role=Role.WORKER) as tx:
        return queries.loader_notes(tx, run.integration_id)


def _outcome(ended: Exit, recorder: Recorder, *, counted: bool) -> Outcome:
    return Outcome(
        exit_code=ended.code,
        side=None if ended.side is None else _ORIGINS.get(ended.side),
        cancelled=ended.stopped is Stopped.CANCELLED,
        timed_out=ended.stopped is Stopped.TIMED_OUT,
        stalled=recorder.stalled,
        states=recorder.states,
        storage_full=ended.storage_full,
        invalid_states=ended.invalid_states,
        counted=counted,
        counts=recorder.counts(),
        complaints=(*ended.complaints, *([ended.error] if ended.error else [])),
    )


def _settled(drivers: Drivers, attempt: Attempt, status: RunStatus, failure: Failure | None, code: int | None) -> Run:
    """End the run, or let it wait for its next attempt."""
    settings = drivers.settings
    return _patiently(
        drivers,
        attempt,
        lambda tx: end_or_try_again(tx, settings, attempt, status=status, failure=failure, exit_code=code),
    )


def _patiently(drivers: Drivers, attempt: Attempt, write: Callable[[Session], Run]) -> Run:
    """Write the end of an attempt; tries for a lease's time where the database is away."""
    until = monotonic() + drivers.settings.runs.lease.total_seconds()
    while True:
        try:
            with drivers.db.transaction(attempt.org_id, role=Role.WORKER) as tx:
                return write(tx)
        except DatabaseAwayError:
            if monotonic() > until:
                raise
            sleep(_RETRY_EVERY)
