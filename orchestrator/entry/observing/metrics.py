"""Metrics of one worker, and of the installation as its database has it, for Prometheus.

Labels are words of ours: the connector's name from the catalog, statuses, kinds of failures. No organization,
integration, stream or host is in them, so that a tenant's names go nowhere and the number of series is bounded.
What is counted is this process's own and begins at zero with it; add it up over workers. What starts with
`orchestrator_installation_` is the same whichever worker is asked; take any worker's, or the greatest. Its counters
have all runs that ever ended, those in the foreground too, as the database counted them.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.types import CheckResult, Integration, Verdict
from orchestrator.domains.runs import service as runs
from orchestrator.domains.runs.errors import LeaseLostError
from orchestrator.domains.runs.service import Follower
from orchestrator.domains.runs.types import Progress, Run, StreamCount
from orchestrator.domains.schedules import service as schedules
from orchestrator.domains.schedules.types import Fired
from orchestrator.drivers.bundle import Drivers
from orchestrator.entry.observing.observer import Observer
from orchestrator.kernel.db import DatabaseAwayError

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SIDES = ("read", "written", "deleted")
_SECONDS = (1, 2, 5, 10, 30, 60, 120, 300, 900, 1800, 3600, 2 * 3600, 6 * 3600)


class Metrics(Observer):
    """Counts what a worker does."""

    def __init__(self, drivers: Drivers, *, concurrency: int, version: str) -> None:
        # A second series for each; Prometheus tells a restart by the value itself.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library leaves this one untyped
        self._registry = CollectorRegistry()
        registry = self._registry
        Gauge("orchestrator_build_info", "The version that runs.", ["version"], registry=registry).labels(version).set(
            1
        )
        Gauge("orchestrator_worker_slots", "Runs this worker does at once.", registry=registry).set(concurrency)
        self._busy = Gauge("orchestrator_worker_slots_busy", "Runs under way in this worker.", registry=registry)
        self._attempts = Counter(
            "orchestrator_run_attempts",
            "Attempts at runs, by the status they left the run in.",
            ["connector", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "orchestrator_run_attempt_seconds",
            "How long attempts at runs took.",
            ["connector"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._waited = Histogram(
            "orchestrator_run_wait_seconds",
            "From the request of a run to its first attempt.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._records = Counter(
            "orchestrator_records", "Records, counted while runs go on; side: read, written, deleted.",
            ["connector", "side"], registry=registry,
        )  # fmt: skip
        self._failures = Counter(
            "orchestrator_run_failures", "Attempts that failed.", ["connector", "kind", "origin"], registry=registry
        )
        self._lost = Counter(
            "orchestrator_leases_lost", "Attempts that others took over from this worker.", registry=registry
        )
        self._recovered = Counter(
            "orchestrator_runs_recovered", "Runs taken from workers that were gone.", registry=registry
        )
        self._slots = Counter(
            "orchestrator_schedule_slots", "Slots that this worker settled.", ["outcome"], registry=registry
        )
        self._checks = Counter(
            "orchestrator_connection_checks",
            "Periodic checks of connections.",
            ["connector", "result"],
            registry=registry,
        )
        ProcessCollector(registry=self._registry)
        self._registry.register(_Installation(drivers))

    def text(self) -> bytes:
        """Everything, in Prometheus's text format."""
        return generate_latest(self._registry)

    @contextmanager
    def attempt(self, integration: Integration, run: Run) -> Iterator[Follower]:
        """Count one attempt, its records as they come."""
        began, follower = monotonic(), _Counting(self._records, integration.type)
        self._busy.inc()
        try:
            yield follower
        except LeaseLostError:
            self._lost.inc()
            raise
        finally:
            self._busy.dec()
        if (ended := follower.run) is not None:
            self._seconds.labels(integration.type).observe(monotonic() - began)
            if run.started_at is None and ended.started_at is not None:
                self._waited.observe((ended.started_at - ended.requested_at).total_seconds())
            self._attempts.labels(integration.type, ended.status.value).inc()
            if ended.failure is not None:
                self._failures.labels(integration.type, ended.failure.kind.value, ended.failure.origin.value).inc()

    def recovered(self, found: Sequence[Run]) -> None:
        """Count them."""
        self._recovered.inc(len(found))

    def fired(self, fired: Fired) -> None:
        """Count slots by outcome."""
        for outcome in ("fired", "overlapped", "missed", "skipped"):
            self._slots.labels(outcome).inc(getattr(fired, outcome))

    def checked(self, integration: Integration, results: Sequence[CheckResult]) -> None:
        """Count a check by its result."""
        failed = any(one.verdict is Verdict.FAILED for one in results)
        self._checks.labels(integration.type, "failed" if failed else "passed").inc()


class _Counting(Follower):
    """Adds what an attempt moves to the counters, as it is told."""

    def __init__(self, records: Counter, connector: str) -> None:
        self._sides = {side: records.labels(connector, side) for side in _SIDES}
        self._told = dict.fromkeys(self._sides, 0)
        self.run: Run | None = None

    def progress(self, progress: Progress) -> None:
        self._count(progress.counts)

    def ended(self, run: Run) -> None:
        self.run = run

    def _count(self, counts: Sequence[StreamCount]) -> None:
        for side, counter in self._sides.items():
            total = sum(getattr(one, side) for one in counts)
            counter.inc(max(total - self._told[side], 0))
            self._told[side] = max(total, self._told[side])


class _Installation(Collector):
    """The whole installation, read from its database when somebody asks."""

    def __init__(self, drivers: Drivers) -> None:
        self._drivers = drivers

    def describe(self) -> Iterator[Metric]:
        """Nothing: registering must not ask the database."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """The figures; where the database is away, only that it is."""
        up = GaugeMetricFamily("orchestrator_database_up", "Whether the control-plane database answers.")
        try:
            found = [*self._queue(), self._lag(), *self._integrations(), *self._runs()]
        except DatabaseAwayError:
            found = []
        up.add_metric([], int(bool(found)))
        yield up
        yield from found

    def _queue(self) -> Iterator[Metric]:
        figures = runs.figures(self._drivers)
        queue = _gauge(
            "queue_runs", "Detached runs in the line: waiting, delayed (next attempt later), dispatched.", "state"
        )
        for state, value in (
            ("waiting", figures.waiting), ("delayed", figures.delayed), ("dispatched", figures.dispatched),
        ):  # fmt: skip
            queue.add_metric([state], value)
        yield queue
        yield _gauge("queue_oldest_seconds", "How long the run has waited that waits longest.", value=figures.oldest)
        workers = _gauge("workers", "Workers, by whether they take runs: working, draining, silent.", "state")
        for state, value in (
            ("working", figures.working), ("draining", figures.draining), ("silent", figures.silent),
        ):  # fmt: skip
            workers.add_metric([state], value)
        yield workers
        yield _gauge("slots", "Runs that all working workers do at once.", value=figures.slots)

    def _lag(self) -> Metric:
        lag = schedules.lag(self._drivers).total_seconds()
        return _gauge("scheduler_lag_seconds", "How late the schedule is that is due for longest.", value=lag)

    def _integrations(self) -> Iterator[Metric]:
        found = _gauge(
            "integrations", "Integrations, by the axes of their state.", "health", "setup_state", "disabled_by"
        )
        for one in integrations.figures(self._drivers):
            found.add_metric([one.health.value, one.setup_state.value, one.disabled_by], one.integrations)
        yield found

    def _runs(self) -> Iterator[Metric]:
        families = {
            "runs": _counter("runs", "Runs that ended, whoever did them.", "connector", "kind", "status"),
            "failures": _counter("run_failures", "Runs that ended with a failure.", "connector", "kind", "origin"),
            "seconds": _counter("run_seconds", "How long runs took that ended.", "connector"),
            "records": _counter("records", "Records of runs that ended, by side as above.", "connector", "side"),
            "bytes": _counter("written_bytes", "Bytes they wrote, as taps handed them over.", "connector"),
        }
        sums: dict[tuple[str, ...], float] = defaultdict(float)
        for one in runs.totals(self._drivers):
            sums["runs", one.connector, one.kind, one.status] += one.runs
            if one.failure_kind:
                sums["failures", one.connector, one.failure_kind, one.failure_origin] += one.runs
            sums["seconds", one.connector] += one.seconds
            sums["bytes", one.connector] += one.bytes
            for side in _SIDES:
                sums["records", one.connector, side] += getattr(one, side)
        for (family, *labels), value in sums.items():
            families[family].add_metric(labels, value)
        yield from families.values()


def _counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"orchestrator_installation_{name}", text, labels=labels)


def _gauge(name: str, text: str, *labels: str, value: float | None = None) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"orchestrator_installation_{name}", text, labels=labels or None, value=value)
