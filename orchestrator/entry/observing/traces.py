"""Traces of runs by OpenTelemetry, sent by OTLP over HTTP; needs the extra `otel`.

A run's trace has the run's own id, in hex and without its prefix, so that all its attempts are in one trace, whichever
workers made them. Spans carry ids of ours, the connector's name, statuses and numbers; no tenant's names, no messages.
Headers, certificates and the like are read by the library from its own OTEL_… variables.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

from orchestrator.domains.integrations.types import Integration
from orchestrator.domains.runs.service import Follower
from orchestrator.domains.runs.types import Progress, Run, RunStatus
from orchestrator.entry.observing.observer import Observer
from orchestrator.kernel import ids

_LOW = (1 << 64) - 1
_WELL = {RunStatus.SUCCEEDED, RunStatus.CANCELLED}


class Traces(Observer):
    """Makes a span of each try at a run, with its phases below it."""

    def __init__(self, endpoint: str, *, worker: str, version: str) -> None:
        """endpoint: of a collector, without /v1/traces."""
        about = {"service.name": "orchestrator", "service.version": version, "service.instance.id": worker}
        self._provider = TracerProvider(resource=Resource(about).merge(OTELResourceDetector().detect()))
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("orchestrator", version)

    @contextmanager
    def attempt(self, integration: Integration, run: Run) -> Iterator[Follower]:
        """A span around one attempt."""
        facts = {
            "orchestrator.run.id": run.id,
            "orchestrator.organization.id": run.org_id,
            "orchestrator.integration.id": run.integration_id,
            "orchestrator.connector": integration.type,
            "orchestrator.run.trigger": run.trigger,
        }
        span = self._tracer.start_span("sync", _of_run(run.id), kind=SpanKind.CONSUMER, attributes=facts)
        follower = _Following(self._tracer, span)
        try:
            yield follower
        except BaseException as error:
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise
        finally:
            follower.end_phase()
            span.end()

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


def _of_run(run_id: str) -> Context:
    """The context of a run's trace; the span that all its attempts hang from is never sent itself."""
    whole = ids.decode("run", run_id).int
    parent = SpanContext(whole, whole & _LOW, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    return set_span_in_context(NonRecordingSpan(parent))


class _Following(Follower):
    def __init__(self, tracer: Tracer, span: Span) -> None:
        self._tracer, self._span = tracer, span
        self._phase = ""
        self._phase_span: Span | None = None

    def progress(self, progress: Progress) -> None:
        if progress.phase != self._phase:
            self.end_phase()
            self._phase = progress.phase
            self._phase_span = self._tracer.start_span(progress.phase, set_span_in_context(self._span))
        for side in ("read", "written", "deleted"):
            total = sum(getattr(one, side) for one in progress.counts)
            self._span.set_attribute(f"orchestrator.records.{side}", total)

    def ended(self, run: Run) -> None:
        self._span.set_attribute("orchestrator.run.status", run.status.value)
        if run.failure is not None:
            self._span.set_attribute("orchestrator.failure.kind", run.failure.kind.value)
            self._span.set_attribute("orchestrator.failure.origin", run.failure.origin.value)
        if run.status not in _WELL:
            self._span.set_status(Status(StatusCode.ERROR, run.status.value))

    def end_phase(self) -> None:
        if self._phase_span is not None:
            self._phase_span.end()
            self._phase_span = None
