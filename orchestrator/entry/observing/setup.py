"""Builds what the settings ask for; libraries for metrics and traces are imported only where they are wanted."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http import HTTPStatus

from orchestrator.drivers.bundle import Drivers
from orchestrator.entry.observing.observer import Observer, Several
from orchestrator.entry.observing.probes import Page, Probes, kept
from orchestrator.entry.observing.readiness import Lives, healthz, readyz

log = logging.getLogger(__name__)
_KEPT = 1.0  # seconds


class Watched:
    """What looks on, and the port where it can be asked."""

    def __init__(self, drivers: Drivers, observer: Observer, metrics: Page | None, stack: ExitStack) -> None:
        self._drivers, self.observer, self._metrics, self._stack = drivers, observer, metrics, stack

    def listen(self, worker: Lives) -> None:
        """Answer on the operator's port, where one is set. Raises AddressTakenError."""
        address = self._drivers.settings.metrics.address
        if address is None or self._metrics is None:
            return
        pages = {
            "/metrics": kept(self._metrics, seconds=_KEPT),
            "/healthz": healthz(worker),
            "/readyz": kept(readyz(self._drivers, worker), seconds=_KEPT),
        }
        probes = Probes(address.host, address.port, pages)
        probes.start()
        self._stack.callback(probes.close)
        log.info("Metrics at http://%s/metrics.", probes.address)


@contextmanager
def observed(drivers: Drivers, *, concurrency: int, version: str) -> Iterator[Watched]:
    """Observers as the settings have them, until the worker ends."""
    observers: list[Observer] = []
    metrics: Page | None = None
    with ExitStack() as stack:
        if drivers.settings.metrics.address is not None:
            from orchestrator.entry.observing.metrics import CONTENT_TYPE, Metrics

            made = Metrics(drivers, concurrency=concurrency, version=version)
            observers.append(made)

            def page() -> tuple[HTTPStatus, str, bytes]:
                return HTTPStatus.OK, CONTENT_TYPE, made.text()

            metrics = page
        if drivers.settings.otlp_endpoint is not None:
            observers += _traces(drivers, drivers.settings.otlp_endpoint.get_secret_value(), version, stack)
        yield Watched(drivers, Several(observers), metrics, stack)


def _traces(drivers: Drivers, endpoint: str, version: str, stack: ExitStack) -> list[Observer]:
    """None where the extra is missing: the variable is a common one, and may be meant for others."""
    try:
        from orchestrator.entry.observing.traces import Traces
    except ImportError:
        log.warning("OTEL_EXPORTER_OTLP_ENDPOINT is set, but no traces are sent: pip install 'orchestrator[otel]'.")
        return []
    traces = Traces(endpoint, worker=drivers.worker.name, version=version)
    stack.callback(traces.close)
    return [traces]
