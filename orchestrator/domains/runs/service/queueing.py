"""Detached runs: put into the line, handed to workers in fair turns, put back where an attempt failed."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta

from sqlalchemy.orm import Session

from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.types import Integration, Window
from orchestrator.domains.runs import queries, rules
from orchestrator.domains.runs.errors import RunInProgressError, RunInTheWayError
from orchestrator.domains.runs.events import RunRetrying
from orchestrator.domains.runs.service.ending import end
from orchestrator.domains.runs.service.retrying import policy
from orchestrator.domains.runs.types import Attempt, Failure, PlaceInLine, Run, RunKind, RunRequest, RunStatus
from orchestrator.drivers import liveness
from orchestrator.drivers.bundle import Drivers
from orchestrator.kernel.db import Role
from orchestrator.kernel.events import emit
from orchestrator.kernel.settings import Settings

PAUSED = "workers are paused: orchestrator workers list"
TRIES = 5  # where what is in a run's way is gone whenever we look
ALIVE_BEATS = 3  # heartbeats; a worker without one for so long gets no new runs


def enqueue(drivers: Drivers, tx: Session, requests: Sequence[RunRequest]) -> Mapping[str, Run | None]:
    """Queue runs for workers in the caller's transaction, by integration; set-based, so that thousands cost little.

    The transaction must be one of their organization, or the scheduler's for all of theirs.

    None where the integration has an active run already, which then stays the only one. Whether the run could do
    anything is seen when it starts. Call `dispatch` after the commit, or let a worker's next look do it.
    """
    return queries.enqueue(tx, requests, timeout=drivers.settings.runs.timeout)


def under_way(tx: Session, integrations: Sequence[tuple[str, str]]) -> list[Run]:
    """The active runs of these (organization, integration), at most one for each; in the caller's transaction."""
    return queries.active_runs(tx, integrations) if integrations else []


def strike_off_dead(drivers: Drivers) -> list[str]:
    """No longer list workers of this machine that died, so that nothing is handed to them; answers their names.

    Their runs are seen to by `recover`, which then forgets them.
    """
    gone = liveness.dead(drivers.workers_folder)
    if gone:
        with drivers.db.anonymous(role=Role.WORKER) as tx:
            queries.strike_off(tx, gone)
    return gone


def dispatch(drivers: Drivers) -> int:
    """Hand waiting runs to free slots of living workers, of every organization in turns; answers how many."""
    strike_off_dead(drivers)
    limits, alive = drivers.settings.queue, ALIVE_BEATS * drivers.settings.runs.heartbeat
    with drivers.db.anonymous() as tx:
        return queries.dispatch(
            tx, total=limits.total, per_org=limits.per_organization, per_provider=limits.per_provider, alive=alive
        )


def look(
    drivers: Drivers,
    integration: Integration,
    *,
    kind: RunKind,
    streams: Sequence[str] | None,
    window: Window | None,
) -> None:
    """See whether a run could do anything at all.

    Raises what `integrations.to_read` raises, and DryRunUnsupportedError.
    """
    integrations.to_read(drivers, integration, only=streams, window=window)
    if kind is RunKind.DRY_RUN:
        integrations.scratch_schema(drivers, integration)


def submit(
    drivers: Drivers,
    integration: Integration,
    *,
    kind: RunKind = RunKind.SYNC,
    window: Window | None = None,
    keep_scratch: bool = False,
    streams: Sequence[str] | None = None,
    full_refresh: bool = False,
    timeout: timedelta | None = None,
    trigger: str = "person",
    retry_of: str | None = None,
) -> Run:
    """Queue a run for a worker, after a look at whether it could do anything at all; arguments as in `request`.

    Raises what `request` raises.
    """
    look(drivers, integration, kind=kind, streams=streams, window=window)
    wanted = RunRequest(
        org_id=integration.org_id,
        integration_id=integration.id,
        provider=integration.type,
        trigger=trigger,
        kind=kind,
        window=window,
        keep_scratch=keep_scratch,
        streams=None if streams is None else tuple(streams),
        full_refresh=full_refresh,
        timeout=timeout,
        retry_of=retry_of,
    )
    for _ in range(TRIES):
        with drivers.db.transaction(integration.org_id) as tx:
            run = enqueue(drivers, tx, [wanted])[integration.id]
        if run is not None:
            dispatch(drivers)
            return run
        refuse_second(drivers, integration)
    raise RunInTheWayError(integration.name)


def refuse_second(drivers: Drivers, integration: Integration) -> None:
    """Say what kept a run from being queued; nothing where that is gone by now.

    Raises RunInProgressError, UnknownIntegrationError.
    """
    with drivers.db.transaction(integration.org_id) as tx:
        first = queries.active_run(tx, integration.id)
    if first is not None:
        raise RunInProgressError(integration.name, first.id)
    integrations.find(drivers, integration.org_id, integration.id)


def waiting(drivers: Drivers, run: Run) -> tuple[PlaceInLine, str] | None:
    """Where a detached run stands in the line and why it doesn't begin; None where it doesn't wait."""
    limits = drivers.settings.queue
    with drivers.db.transaction(run.org_id) as tx:
        place = queries.place(tx, run.id, alive=ALIVE_BEATS * drivers.settings.runs.heartbeat)
        paused = queries.paused(tx)
    if place is None:
        return None
    reason = (
        PAUSED
        if paused is not None
        else rules.waits_for(
            place, total=limits.total, per_org=limits.per_organization, per_provider=limits.per_provider
        )
    )
    return place, reason


def end_or_try_again(
    tx: Session,
    settings: Settings,
    attempt: Attempt,
    *,
    status: RunStatus,
    failure: Failure | None = None,
    exit_code: int | None = None,
) -> Run:
    """End the run as its attempt, or let it wait for another attempt. Raises LeaseLostError."""
    delay = rules.next_attempt(status, failure, attempt, policy(tx, settings))
    if delay is not None:
        run = _put_back(tx, attempt, failure=failure, exit_code=exit_code, delay=delay, counts=True)
        if run is not None:
            return run
        status, failure = RunStatus.CANCELLED, None  # asked for while the attempt failed
    return end(tx, settings.health, attempt, status=status, failure=failure, exit_code=exit_code)


def give_back(tx: Session, settings: Settings, attempt: Attempt) -> Run:
    """End an attempt of a worker that stops; another takes the run over from the committed state."""
    run = _put_back(tx, attempt, failure=None, exit_code=None, delay=timedelta(0), counts=False)
    return run or end(tx, settings.health, attempt, status=RunStatus.CANCELLED)


def _put_back(
    tx: Session, attempt: Attempt, *, failure: Failure | None, exit_code: int | None, delay: timedelta, counts: bool
) -> Run | None:
    run = queries.put_back(tx, attempt, failure=failure, exit_code=exit_code, delay=delay, counts=counts)
    if run is not None:
        fact = RunRetrying(
            org_id=run.org_id,
            run_id=run.id,
            integration_id=run.integration_id,
            kind=run.kind.value,
            attempt=attempt.number,
            seconds=delay.total_seconds(),
            failure=None if failure is None else asdict(failure),
        )
        emit(tx, fact)
    return run
