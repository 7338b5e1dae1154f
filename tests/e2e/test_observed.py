"""A worker as its operator's systems see it: scraped over HTTP while a run goes on, its traces received by OTLP."""

import gzip
import json
import re
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from orchestrator.domains.integrations.types import Integration
from orchestrator.domains.runs.types import RunStatus
from orchestrator.kernel import ids
from sandboxes.salesforce import LocalOrg
from tests.e2e.installation import Installation, Running, eventually
from tests.e2e.test_worker import detached, drained, ended

_SECONDS = 20.0  # that one file after the other would take the org


class Collector:
    """Receives traces by OTLP over HTTP."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.bodies.append(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
                assert self.path == "/v1/traces"
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def spans(self) -> list:
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        return [
            span
            for one in requests
            for many in one.resource_spans
            for scope in many.scope_spans
            for span in scope.spans
        ]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


def get(worker: Running, path: str) -> str:
    address = eventually(
        lambda: re.search(r"Metrics at http://(\S+)/metrics", worker.err), "the address of the metrics"
    )
    with urllib.request.urlopen(f"http://{address[1]}{path}", timeout=60) as answer:
        return answer.read().decode()


def value(text: str, series: str) -> float:
    return float(next((line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(f"{series} ")), 0))


def test_a_worker_is_scraped_and_traced_while_it_works(
    installation: Installation, file_by_file: Integration, org: LocalOrg, collector: Collector
) -> None:
    org.rows_per_second = sum(org.count("Contact").values()) / _SECONDS
    run_id = detached(installation, file_by_file)
    worker = installation.start(
        "worker",
        environment={"ORCHESTRATOR_METRICS__ADDRESS": "127.0.0.1:0", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url},
    )
    read_so_far = 'orchestrator_records_total{connector="salesforce",side="read"}'
    amid = eventually(
        lambda: next((text for text in [get(worker, "/metrics")] if value(text, read_so_far)), None), "records, counted"
    )
    assert value(amid, "orchestrator_worker_slots_busy") == 1
    assert value(amid, 'orchestrator_installation_queue_runs{state="dispatched"}') == 1
    assert value(amid, 'orchestrator_installation_workers{state="working"}') == 1
    read = value(amid, read_so_far)
    assert 0 < read < sum(org.count("Contact").values())
    assert json.loads(get(worker, "/healthz")) == {"alive": True}
    assert json.loads(get(worker, "/readyz"))["ready"] is True
    org.rows_per_second = 0.0

    assert ended(installation, file_by_file.org_id, run_id).status is RunStatus.SUCCEEDED
    done = eventually(
        lambda: next((text for text in [get(worker, "/metrics")] if "attempts_total{" in text), None),
        "the end, counted",
    )
    assert value(done, 'orchestrator_run_attempts_total{connector="salesforce",status="succeeded"}') == 1
    assert value(done, 'orchestrator_records_total{connector="salesforce",side="written"}') >= read
    assert value(done, "orchestrator_worker_slots_busy") == 0
    drained(worker)

    trace = ids.decode("run", run_id).bytes
    spans = [span for span in collector.spans if span.trace_id == trace]
    assert {"sync", "preparing", "starting", "syncing"} == {span.name for span in spans}
    [whole] = [span for span in spans if span.name == "sync"]
    facts = {fact.key: fact.value for fact in whole.attributes}
    assert facts["orchestrator.run.status"].string_value == "succeeded"
    assert facts["orchestrator.records.written"].int_value >= read
    assert all(span.parent_span_id == whole.span_id for span in spans if span is not whole)

    secrets = [file_by_file.name, file_by_file.target_schema, org.app.client_secret, org.app.client_id]
    assert not [one for one in secrets if one in amid + done or one.encode() in b"".join(collector.bodies)]
    assert file_by_file.org_id not in amid + done
