"""What a worker does beside its runs: says that it lives, takes what was handed to it, looks after the dead."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import timedelta

from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.errors import UnknownIntegrationError
from orchestrator.domains.integrations.types import Integration
from orchestrator.domains.runs import queries, rules
from orchestrator.domains.runs.errors import LeaseLostError, RunEndedError
from orchestrator.domains.runs.service.ending import end
from orchestrator.domains.runs.service.executing import execute
from orchestrator.domains.runs.service.queueing import ALIVE_BEATS, dispatch
from orchestrator.domains.runs.service.requesting import recover
from orchestrator.domains.runs.types import Progress, QueueFigures, Run, RunStatus, RunTotal, Worker
from orchestrator.drivers import liveness
from orchestrator.drivers.bundle import Drivers
from orchestrator.kernel.db import Role


class Follower:
    """Who is told what becomes of one attempt at a run, and here makes nothing of it."""

    def progress(self, progress: Progress) -> None:
        """It got so far."""

    def ended(self, run: Run) -> None:
        """The attempt is over; the run has ended or waits for another."""


Follow = Callable[[Integration, Run], AbstractContextManager[Follower]]


def _unfollowed(_integration: Integration, _run: Run) -> AbstractContextManager[Follower]:
    return nullcontext(Follower())


_FORGOTTEN = timedelta(days=1)


def join(drivers: Drivers, *, host: str, pid: int, version: str, concurrency: int) -> None:
    """Begin as a worker; from now on runs are handed to us."""
    with drivers.db.anonymous(role=Role.WORKER) as tx:
        queries.register(tx, drivers.worker.name, host=host, pid=pid, version=version, concurrency=concurrency)


def beat(drivers: Drivers, *, draining: bool) -> bool:
    """Say that we live. False where others have struck us off, for having been silent."""
    with drivers.db.anonymous(role=Role.WORKER) as tx:
        return queries.beat(tx, drivers.worker.name, draining=draining)


def leave(drivers: Drivers) -> None:
    """End as a worker."""
    with drivers.db.anonymous(role=Role.WORKER) as tx:
        queries.strike_off(tx, [drivers.worker.name])


def workers(drivers: Drivers) -> list[Worker]:
    """The workers of this installation."""
    with drivers.db.anonymous() as tx:
        return queries.workers(tx, alive=ALIVE_BEATS * drivers.settings.runs.heartbeat)


def figures(drivers: Drivers) -> QueueFigures:
    """Totals of the line and of all workers, of the whole installation."""
    with drivers.db.anonymous(role=Role.WORKER) as tx:
        return queries.figures(tx, alive=ALIVE_BEATS * drivers.settings.runs.heartbeat)


def totals(drivers: Drivers) -> list[RunTotal]:
    """What became of all runs of the installation that ended, whoever did them."""
    with drivers.db.anonymous(role=Role.WORKER) as tx:
        return queries.totals(tx)


def look_after(drivers: Drivers) -> list[Run]:
    """Recover the runs of dead workers and what was handed to nobody, then dispatch; answers those of dead workers."""
    recovered = recover(drivers)
    beat = drivers.settings.runs.heartbeat
    with drivers.db.anonymous(role=Role.WORKER) as tx:
        queries.requeue_unclaimed(tx, after=beat, alive=ALIVE_BEATS * beat)
        queries.forget_silent(tx, after=_FORGOTTEN)
    dispatch(drivers)
    return recovered


def died_here(drivers: Drivers) -> bool:
    """Whether a worker of this machine died and nobody has looked after what it left yet."""
    return bool(liveness.dead(drivers.workers_folder))


def take(
    drivers: Drivers, org_id: str, run_id: str, *, drain: threading.Event, follow: Follow = _unfollowed
) -> Run | None:
    """Execute a run that was handed to us; None where it is nobody's to execute any more.

    follow: entered with the integration and the run before the attempt, left after it, with LeaseLostError where it is
            lost
    """
    with drivers.db.transaction(org_id) as tx:
        run = queries.run(tx, run_id)
    if run is None:
        return None
    with suppress(RunEndedError, LeaseLostError):
        try:
            integration = integrations.find(drivers, org_id, run.integration_id)
        except UnknownIntegrationError as gone:
            return _end_without_integration(drivers, run, gone)
        with follow(integration, run) as follower:
            ended = execute(drivers, integration, run, drain=drain, on_progress=follower.progress)
            follower.ended(ended)
        return ended
    return None


def _end_without_integration(drivers: Drivers, run: Run, gone: UnknownIntegrationError) -> Run | None:
    with drivers.db.transaction(run.org_id, role=Role.WORKER) as tx:
        attempt = queries.claim(tx, run.id, worker=drivers.worker.name, lease=drivers.settings.runs.lease)
        if attempt is None:
            return None
        return end(tx, drivers.settings.health, attempt, status=RunStatus.FAILED, failure=rules.refused(gone))
