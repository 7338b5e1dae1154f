"""Keeps what a run says and moves: log lines, counts, state and the lease, in short transactions with its epoch."""

import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from time import monotonic, sleep
from types import TracebackType
from typing import Any, Self

from sqlalchemy.orm import Session

from orchestrator.domains.runs import queries, rules
from orchestrator.domains.runs.errors import LeaseLostError
from orchestrator.domains.runs.service.lines import Lines
from orchestrator.domains.runs.types import Attempt, Progress, RunStatus, StreamCount
from orchestrator.drivers.bundle import Drivers
from orchestrator.drivers.meltano.output import LogLine, Metric, Output, Source
from orchestrator.drivers.meltano.process import Lease
from orchestrator.drivers.meltano.sieve import LEFT_OUT
from orchestrator.kernel.db import DatabaseAwayError, Role

OnProgress = Callable[[Progress], None]
Append = Callable[[Session, Attempt, Mapping[str, Mapping[str, Any] | None]], None]

_FLUSH_EVERY = 0.5  # seconds
_RETRY_EVERY = 0.5  # seconds
_SHOW_EVERY = 0.2  # seconds, and as often as telling it takes a twentieth of the time
_LOOK_EVERY = 1.0  # seconds
_MOST_STREAMS = 100_000  # what a plugin says is bounded: memory, and the columns it is stored in
_MOST = 2**53 - 1  # of anything
_COUNTERS = {  # of plugins, by what they count: the argument of rules.merged that takes it
    (Source.TAP, "record_count"): "read",
    (Source.TARGET, "record_count"): "written",
    (Source.TAP, "deleted_count"): "deleted",  # of taps that know which records are deletions, or of loaders of files
    (Source.TARGET, "deleted_count"): "deleted",
    (Source.TAP, "http_request_count"): "api_calls",  # source: singer_sdk.metrics.Metric
    (Source.TARGET, "byte_count"): "sizes",  # of our loaders
}


class Recorder:
    """One attempt's pen. Use as a context manager: it renews the lease in a thread of its own.

    claimed:    when the claim was asked for, by time.monotonic()
    cancel:     set where the run must stop: somebody asked, or the lease is lost
    cancelled:  whether somebody asked
    drained:    whether the worker stops, and so the run with it, to be given back
    stalled:    whether the run is ended for having done nothing for long
    complete:   whether both plugins came to their end, so that counts are final
    lost:       why the lease is gone, and then nothing more may be written: another took it, or there was no database
    lease:      until when others leave the run to us, as far as we know: from before each renewal was asked for
    """

    def __init__(
        self,
        drivers: Drivers,
        attempt: Attempt,
        cancel: threading.Event,
        on_progress: OnProgress,
        drain: threading.Event | None = None,
        *,
        claimed: float,
    ) -> None:
        self._drivers, self.attempt, self._on_progress = drivers, attempt, on_progress
        self._phases: dict[str, float] = {}  # when each began
        self._took: dict[str, float] | None = None
        self._settings = drivers.settings.runs
        self.cancel, self.cancelled = cancel, False
        self._drain, self.drained = drain or threading.Event(), False
        self.stalled = False
        self.complete = False
        self._lived: float | None = None  # when something new was last heard; None while nothing is expected
        self._last_words: dict[Source, str] = {}
        self._drain_until = 0.0
        self._longest_drain = drivers.settings.queue.drain.total_seconds()
        self.lost: Exception | None = None
        self._away: DatabaseAwayError | None = None
        self.lease = Lease(claimed + self._settings.lease.total_seconds())
        self.states = 0
        self._lock = threading.Lock()
        self._lines = Lines()
        self._flushed = monotonic()
        self._counts: dict[str, dict[str, int]] = {name: defaultdict(int) for name in _COUNTERS.values()}
        self._times: dict[str, tuple[float, float]] = {}
        self._known: dict[str, Mapping[str, Any]] = {}
        self._append: Append = queries.append_state
        self._show_at = 0.0  # when counts are told next; 0 before the first time
        self._moved: set[str] = set()  # streams whose counts are not stored as they are
        self._over = threading.Event()
        self._heart = threading.Thread(target=self._beat, name=f"heartbeat-{attempt.run_id}", daemon=True)

    def __enter__(self) -> Self:
        self._heart.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._heart.join()

    # What Meltano says

    def output(self, output: Output) -> None:
        """Take one thing that was said."""
        self._heed_life(output)
        if isinstance(output, Metric):
            self._measure(output)
            self._show_counts()
        elif isinstance(output, LogLine):
            self.say(output.message, level=output.level.value, source=output.source.value, at=output.at)
            if output.source is Source.TAP:
                self._show_counts()
        if monotonic() - self._flushed > _FLUSH_EVERY:
            self.flush()

    def _heed_life(self, output: Output) -> None:
        """Take what was said as a sign of life, unless a plugin only says once more what it said before.

        Lines count because plugins that count nothing give no other sign; who waits for long is to say how far it is.
        """
        if isinstance(output, LogLine):
            if self._last_words.get(output.source) == output.message or output.message.endswith(LEFT_OUT):
                return
            self._last_words[output.source] = output.message
        self._live()

    def _live(self) -> None:
        self._lived = monotonic()

    def say(
        self, message: str, *, level: str = "info", source: str = "orchestrator", at: datetime | None = None
    ) -> None:
        """Add a line to the run's log; it is stored with the next flush."""
        self._lines.add((at or datetime.now(UTC), level, source, message))

    def _measure(self, metric: Metric) -> None:
        if metric.stream is None or metric.kind != "counter" or metric.source is Source.MELTANO:
            return
        with self._lock:
            if metric.stream not in self._times and len(self._times) >= _MOST_STREAMS:
                return
            self._moved.add(metric.stream)
            first, _ = self._times.get(metric.stream, (monotonic(), 0.0))
            self._times[metric.stream] = (first, monotonic())
            counted = _COUNTERS.get((metric.source, metric.name))
            if counted is not None:
                counts = self._counts[counted]
                counts[metric.stream] = min(counts[metric.stream] + int(metric.value), _MOST)

    def counts(self, only: set[str] | None = None) -> tuple[StreamCount, ...]:
        """What was moved so far, of these streams or of all."""
        with self._lock:
            wanted = self._times.keys() if only is None else self._times.keys() & only
            seconds = {stream: last - first for stream in wanted for first, last in [self._times[stream]]}
            counts = {
                name: {stream: of[stream] for stream in wanted if stream in of} for name, of in self._counts.items()
            }
            return rules.merged(**counts, seconds=seconds, complete=self.complete)

    def plugins_ended(self) -> None:
        """Nobody but us says more: their last lines are kept, however many were left out."""
        self._lines.end()
        if self._show_at:
            self.show(Progress(phase="syncing", counts=self.counts()))
        ends = [*list(self._phases.values())[1:], monotonic()]
        took = zip(self._phases.items(), ends, strict=True)
        self._took = {phase: round(end - began, 3) for (phase, began), end in took}

    def _show_counts(self) -> None:
        """Tell it now and then: a plugin may count as often as it likes, and any number of streams."""
        began = monotonic()
        if began >= self._show_at:
            self.show(Progress(phase="syncing", counts=self.counts()))
            self._show_at = began + max(_SHOW_EVERY, 20 * (monotonic() - began))

    def show(self, progress: Progress) -> None:
        """Tell whoever watches where the run is."""
        self._phases.setdefault(progress.phase, monotonic())
        self._on_progress(progress)

    def flush(self) -> None:
        """Store waiting lines and counts; where the database is away they wait for the next time.

        Raises LeaseLostError, and then has stored nothing.
        """
        lines = self._lines.take()
        with self._lock:
            moved, self._moved = self._moved, set()
        counts = self.counts(None if self.complete else moved)
        self._flushed = monotonic()
        try:
            with self._transaction() as tx:
                queries.hold(tx, self.attempt)
                queries.add_logs(tx, self.attempt, lines)
                queries.save_counts(tx, self.attempt, counts)
                if self._took:
                    queries.save_phases(tx, self.attempt, self._took)
        except DatabaseAwayError:
            self._lines.give_back(lines)
            with self._lock:
                self._moved |= moved

    # State

    def start_from(self, bookmarks: Mapping[str, Mapping[str, Any]], append: Append) -> None:
        """What the run begins with, so that only what moves is written; `append` commits it, and is where it goes."""
        self._known, self._append = dict(bookmarks), append
        self._live()

    def start_over(self, streams: Collection[str]) -> None:
        """Forget where streams are, before anything of them is loaded: should the run fail, the next reads all of them.

        The old bookmarks tell nothing of a table that this run makes anew. Raises what `save_state` does.
        """
        self._patiently(lambda: self._commit(dict.fromkeys(sorted(streams))))
        self._known = rules.without(self._known, streams)

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Commit what moved. Raises LeaseLostError, and DatabaseAwayError after a lease's time without a database."""
        moved = rules.changed(self._known, rules.bookmarks_of(state))
        self._patiently(lambda: self._commit(moved))
        self._known.update(moved)
        self.states += 1
        self._live()
        if self._drain.is_set():
            self._stop_drained()

    def save_notes(self, integration_id: str, notes: str) -> None:
        """Keep what the loader noted. Raises what `save_state` does."""

        def write() -> None:
            with self._transaction() as tx:
                queries.hold(tx, self.attempt)
                queries.save_loader_notes(tx, self.attempt, integration_id, notes)

        self._patiently(write)

    def _heed_drain(self) -> None:
        """A run that commits no state for long is stopped all the same."""
        if self._drain.is_set():
            self._drain_until = self._drain_until or monotonic() + self._longest_drain
            if monotonic() > self._drain_until:
                self._stop_drained()

    def _stop_drained(self) -> None:
        if not self.cancel.is_set():
            self.say("This worker stops; another goes on from here.")
            self.drained = True
            self.cancel.set()

    def _heed_stall(self) -> None:
        if self._lived is None or self.cancel.is_set():
            return
        if monotonic() - self._lived > self._settings.stall.total_seconds():
            self.stalled = True
            self.cancel.set()

    def _commit(self, moved: Mapping[str, Mapping[str, Any] | None]) -> None:
        with self._transaction() as tx:
            self._append(tx, self.attempt, moved)

    def _patiently(self, write: Callable[[], None]) -> None:
        until = monotonic() + self._settings.lease.total_seconds()
        while True:
            try:
                write()
            except DatabaseAwayError:
                if monotonic() > until or self.lost:
                    raise
                sleep(_RETRY_EVERY)
            else:
                return

    # The lease

    def _beat(self) -> None:
        """Renew the lease at every heartbeat, and look in between whether somebody asked to stop."""
        beat = self._settings.heartbeat.total_seconds()
        renewed = self.lease.until - self._settings.lease.total_seconds()
        while not self._over.wait(min(beat, _LOOK_EVERY)):
            self._heed_drain()
            self._heed_stall()
            asked = monotonic()
            due = asked - renewed >= beat
            try:
                with self._transaction() as tx:
                    status = queries.hold(tx, self.attempt, renew=self._settings.lease if due else None)
            except DatabaseAwayError as error:
                self._away = error
                self.lost = error if self.lease.over else None
            except Exception as error:  # noqa: BLE001 - whatever it is: a run without a heartbeat must not go on
                self.lost = error
            else:
                self._away = None
                renewed = asked if due else renewed
                self.lease.until = renewed + self._settings.lease.total_seconds()
                self.cancelled = self.cancelled or status is RunStatus.CANCELLING
                self.drained = self.drained and not self.cancelled
            if self.lost or self.cancelled:
                self.cancel.set()
            if self.lost:
                return

    def assert_held(self) -> None:
        """Raise why the lease is lost or may be: a worker that was stopped wakes up after its processes were ended."""
        if self.lost is not None:
            raise self.lost
        if self.lease.over:
            raise self._away or LeaseLostError(self.attempt.run_id)

    def _transaction(self) -> Any:
        return self._drivers.db.transaction(self.attempt.org_id, role=Role.WORKER)
