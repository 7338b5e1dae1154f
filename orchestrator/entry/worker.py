"""A worker process: takes detached runs as they are handed to it, and keeps the house meanwhile.

Every worker keeps house: dispatches, recovers, fires schedules. The database settles who does what, so that one is
enough and many get along.
"""

import logging
import os
import platform
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

from orchestrator.domains.runs import service as runs
from orchestrator.drivers.bundle import Drivers
from orchestrator.drivers.queue import Queue, Ticket
from orchestrator.entry.observing.observer import Observer
from orchestrator.kernel.db import DatabaseAwayError
from orchestrator.kernel.errors import OrchestratorError

log = logging.getLogger(__name__)
_TICK = 1.0  # seconds
_LAST_CALL = 5.0  # seconds
_SILENT_FOR = 120.0  # seconds; longer than a round takes where the database is away, as that is no reason to restart

Tick = Callable[[Drivers], object]


class Worker:
    """One process's slots.

    ticks: what every worker does each second besides dispatching
    calls: the same for what takes its time, as it calls others; nothing else waits for these
    observer: is told what becomes of runs
    """

    def __init__(
        self,
        drivers: Drivers,
        *,
        concurrency: int,
        version: str,
        ticks: Sequence[Tick] = (),
        calls: Sequence[Tick] = (),
        observer: Observer | None = None,
    ) -> None:
        self._drivers, self._concurrency, self._version = drivers, concurrency, version
        self._ticks, self._calls, self._observer = ticks, calls, observer or Observer()
        self._kept_house = monotonic()
        self._drain = threading.Event()
        self._over = threading.Event()
        self._away = False
        self._paused: str | None = None
        self.refused: OrchestratorError | None = None

    @property
    def alive(self) -> bool:
        """Whether it has kept house lately."""
        return monotonic() - self._kept_house < _SILENT_FOR

    @property
    def draining(self) -> bool:
        """Whether it takes nothing new."""
        return self._drain.is_set()

    def drain(self) -> None:
        """Take nothing new, let runs go on until they have committed state, then end."""
        self._drain.set()

    def work(self) -> None:
        """Work until `drain` is called. Raises what forbids to go on, such as a newer database."""
        self._look_back()
        self._join()
        house = threading.Thread(target=self._keep_house, name="house", daemon=True)
        slots = ThreadPoolExecutor(self._concurrency, thread_name_prefix="slot")
        calling = threading.Thread(target=self._keep_calling, name="calls", daemon=True)
        house.start()
        calling.start()
        try:
            queue = Queue(self._drivers.database_url, self._drivers.worker.name)
            queue.serve(lambda ticket: slots.submit(self._take, ticket), stop=self._drain)
        finally:
            self._drain.set()
            slots.shutdown(wait=True)
            self._over.set()
            house.join()
            calling.join(_LAST_CALL)  # one that still waits for an answer ends with the process
            self._quietly(runs.leave, self._drivers)
            if self._paused is None:
                self._quietly(runs.look_after, self._drivers)
        if self.refused is not None:
            raise self.refused

    def _join(self) -> None:
        runs.join(
            self._drivers,
            host=platform.node(),
            pid=os.getpid(),
            version=self._version,
            concurrency=self._concurrency,
        )

    def _take(self, ticket: Ticket) -> None:
        try:
            self._look_back()  # once more: what is begun can't be taken back
            if self._paused is not None or not self._fit():
                return  # handed over just before that was known; it goes back into the line
            log.info("%s begins.", ticket.run_id)
            run = runs.take(
                self._drivers, ticket.org_id, ticket.run_id, drain=self._drain, follow=self._observer.attempt
            )
        except OrchestratorError as error:
            log.warning("%s: %s", ticket.run_id, error.message)
        except Exception:  # one run's trouble must not end the others; the run itself has settled as failed
            log.exception("%s: something unexpected went wrong in orchestrator itself.", ticket.run_id)
        else:
            log.info("%s %s.", ticket.run_id, f"is {run.status.value}" if run else "was somebody else's")
        self._quietly(runs.dispatch, self._drivers)

    # Keeping house

    def _keep_house(self) -> None:
        beat_every = self._drivers.settings.runs.heartbeat.total_seconds()
        due = monotonic()
        while not self._over.wait(_TICK):
            self._kept_house = monotonic()
            self._quietly(self._fit)
            confirmed = self._quietly(self._look_back) and self._paused is None
            if monotonic() >= due:
                due = monotonic() + beat_every
                self._quietly(self._beat)
                if confirmed:
                    self._quietly(self._look_after)
            elif confirmed and runs.died_here(self._drivers):
                self._quietly(self._look_after)
            if confirmed and not self._drain.is_set():
                self._quietly(runs.dispatch, self._drivers)
                for tick in self._ticks:
                    self._quietly(tick, self._drivers)

    def _look_after(self) -> None:
        self._observer.recovered(runs.look_after(self._drivers))

    def _keep_calling(self) -> None:
        while not self._drain.wait(_TICK):
            for call in self._calls if self._paused is None else ():
                self._quietly(call, self._drivers)

    def _beat(self) -> None:
        if not runs.beat(self._drivers, draining=self._drain.is_set()) and not self._drain.is_set():
            self._join()

    def _fit(self) -> bool:
        """Whether this code fits the database; where that was migrated under us we begin nothing more, and end."""
        try:
            self._drivers.check(self._drivers.unchecked_db)
        except DatabaseAwayError:
            raise
        except OrchestratorError as error:
            if self.refused is None:
                log.warning("%s Runs under way go on until they have committed state.", error.message)
            self.refused = error
            self._drain.set()
            return False
        return True

    def _look_back(self) -> None:
        because = runs.look_back(self._drivers)
        if because is not None and self._paused is None:
            log.warning("Paused, since %s. Look at what came back, then: orchestrator workers resume", because)
        elif because is None and self._paused is not None:
            log.info("Going on: somebody has said that this database is the one.")
        self._paused = because

    def _quietly(self, do: Callable[..., object], *arguments: object) -> bool:
        """Do something that may fail now and is done again soon; answers whether it was done."""
        try:
            do(*arguments)
        except DatabaseAwayError as error:
            if not self._away:
                log.warning("%s", error.message)
            self._away = True
        except OrchestratorError as error:
            log.warning("%s %s", error.message, error.hint)
        except Exception:  # without heartbeats and recovery every run here would be lost
            log.exception("Keeping house failed; it is tried again.")
        else:
            if self._away:
                log.info("The control-plane database is back.")
            self._away = False
            return True
        return False
