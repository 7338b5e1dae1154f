"""Asking for runs, finding them, stopping them, and ending those whose worker died."""

import logging
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from orchestrator.domains.integrations.types import Integration, Window
from orchestrator.domains.runs import queries, rules
from orchestrator.domains.runs.errors import (
    AmbiguousRunError,
    LeaseLostError,
    RunEndedError,
    RunInTheWayError,
    RunUnendedError,
    UnknownRunError,
)
from orchestrator.domains.runs.service.ending import announce
from orchestrator.domains.runs.service.pausing import look_back, refuse_unconfirmed
from orchestrator.domains.runs.service.queueing import (
    TRIES,
    end_or_try_again,
    look,
    refuse_second,
    strike_off_dead,
    submit,
)
from orchestrator.domains.runs.types import LogEntry, OpenAttempt, Run, RunKind, RunStatus, StreamCount, Success
from orchestrator.drivers import liveness
from orchestrator.drivers.bundle import Drivers
from orchestrator.kernel.db import DatabaseAwayError, Role

log = logging.getLogger(__name__)


def request(
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
    """Queue a run, after a look at whether it could do anything at all.

    Until a worker claims it, it is ours: where this process dies first, the next start ends it.

    window:        what a backfill reads; other kinds have none
    keep_scratch:  leave what a dry run loaded where it is
    streams:       these instead of the selected ones
    full_refresh:  read them from the start; the state of other streams stays
    retry_of:      the ended run it does again; a backfill goes on where that one was
    Raises UnconfirmedDatabaseError, RunInProgressError, UnknownIntegrationError where it was deleted meanwhile,
    RunInTheWayError, and what `look` raises.
    """
    refuse_unconfirmed(drivers)
    recover(drivers)
    look(drivers, integration, kind=kind, streams=streams, window=window)
    for _ in range(TRIES):
        try:
            with drivers.db.transaction(integration.org_id) as tx:
                run = queries.insert_run(
                    tx,
                    integration.org_id,
                    integration.id,
                    worker=drivers.worker.name,
                    lease=drivers.settings.runs.lease,
                    kind=kind.value,
                    keep_scratch=keep_scratch,
                    window_since=None if window is None else window.since,
                    window_until=None if window is None else window.until,
                    trigger=trigger,
                    streams=None if streams is None else list(streams),
                    full_refresh=full_refresh,
                    timeout=timeout or drivers.settings.runs.timeout,
                    retry_of=retry_of,
                )
        except IntegrityError as error:
            if getattr(getattr(error.orig, "diag", None), "constraint_name", None) != queries.ONE_ACTIVE:
                raise
            run = None
        if run is not None:
            return run
        refuse_second(drivers, integration)
    raise RunInTheWayError(integration.name)


def retry(
    drivers: Drivers, integration: Integration, ended: Run, *, detach: bool = False, trigger: str = "person"
) -> Run:
    """Queue a run that does again what an ended one was to do: its kind, window, streams, full refresh and timeout.

    It goes on from the state as it is now, so what was committed is not read again.
    detach: leave it to a worker; otherwise it is the caller's to execute
    Raises RunUnendedError, and what `request` and `submit` raise.
    """
    if not ended.status.ended:
        raise RunUnendedError(ended)
    ask = submit if detach else request
    return ask(
        drivers,
        integration,
        kind=ended.kind,
        window=ended.window,
        keep_scratch=ended.keep_scratch,
        streams=ended.streams,
        full_refresh=ended.full_refresh,
        timeout=ended.timeout,
        trigger=trigger,
        retry_of=ended.id,
    )


def find(drivers: Drivers, org_id: str, wanted: str) -> Run:
    """The run of this id, or of this beginning of one. Raises UnknownRunError, AmbiguousRunError."""
    with drivers.db.transaction(org_id) as tx:
        found = queries.runs_like(tx, wanted)
    if not found:
        raise UnknownRunError(wanted)
    if len(found) > 1:
        raise AmbiguousRunError(wanted, [one.id for one in found])
    return found[0]


def listing(
    drivers: Drivers,
    org_id: str,
    *,
    integration_id: str | None = None,
    statuses: Sequence[RunStatus] = (),
    before: str | None = None,
    limit: int = 20,
) -> list[Run]:
    """The newest runs first; with `before`, the next page after the one that ended with this run."""
    with drivers.db.transaction(org_id) as tx:
        return queries.runs(tx, integration_id=integration_id, statuses=statuses, before=before, limit=limit)


def newest_successes(tx: Session, wanted: Sequence[tuple[str, Sequence[str] | None]]) -> list[Success | None]:
    """The newest success of each (integration, streams) that read at least these; None streams: all selected ones."""
    return queries.newest_successes(tx, wanted) if wanted else []


def counts(drivers: Drivers, run: Run) -> tuple[StreamCount, ...]:
    """What a run moved so far, by stream."""
    with drivers.db.transaction(run.org_id) as tx:
        return queries.counts(tx, run.id)


def phases(drivers: Drivers, run: Run) -> dict[str, float]:
    """How long each phase of a run's last attempt took, in seconds; empty while it goes on."""
    with drivers.db.transaction(run.org_id) as tx:
        return queries.phases(tx, run.id)


def logs(drivers: Drivers, run: Run, *, after: int | None = None, last: int = 0, limit: int = 1000) -> list[LogEntry]:
    """Lines of a run in order: those after a cursor, or the last so many."""
    with drivers.db.transaction(run.org_id) as tx:
        cursor = after if after is not None else (queries.last_log_id(tx, run.id, lines=last) if last else 0)
        return queries.logs(tx, run.id, after=cursor, limit=limit)


def cancel(drivers: Drivers, run: Run) -> Run:
    """Ask for a run to be stopped; its worker ends every process and settles it. Raises RunEndedError."""
    with drivers.db.transaction(run.org_id) as tx:
        asked = queries.ask_to_cancel(tx, run.id)
        if asked is None:
            raise RunEndedError(queries.run(tx, run.id) or run)
        if asked.status.ended:
            announce(tx, asked)
        return asked


def recover(drivers: Drivers) -> list[Run]:
    """End every run whose worker is gone, of every organization, and remove what its processes left behind.

    A detached run is not over with its worker: it waits for the next, unless it has cost too many already. Answers all.
    In a database that nobody has confirmed since it was restored or copied, all runs stay as they came back.
    """
    drivers.meltano.reap()
    if look_back(drivers) is not None:
        return []
    gone = strike_off_dead(drivers)
    with drivers.db.anonymous() as tx:
        unended = queries.open_attempts(tx)
    recovered = [_seen_to(drivers, one) for one in unended if one.lapsed or one.worker in gone]
    for worker in gone:
        liveness.forget(drivers.workers_folder, worker)
    return [run for run in recovered if run is not None]


def _seen_to(drivers: Drivers, lost: OpenAttempt) -> Run | None:
    """End a run as its lost attempt, or let it wait for another; None where somebody else did, or it can't be done now.

    Whatever is wrong with one, the others don't wait for it.
    """
    try:
        with drivers.db.transaction(lost.org_id, role=Role.WORKER) as tx:
            attempt = queries.attempt(tx, lost.run_id, lost.epoch)
            if attempt is None:
                return None
            return end_or_try_again(tx, drivers.settings, attempt, status=RunStatus.FAILED, failure=rules.worker_lost())
    except LeaseLostError:
        return None
    except DatabaseAwayError:
        raise
    except Exception:  # one that cannot be ended must hold up no other; it is looked at again
        log.exception("%s lost its worker and could not be ended; it is tried again.", lost.run_id)
        return None
