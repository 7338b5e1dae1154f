"""Bulk API 1.0 queries: jobs with batches, whose results are whole files of CSV or JSON, from the same cache as 2.0's.

source: Bulk API developer guide: "Create a Job", "Add a Batch", "Get Batch Results", "Job and Batch States"
"""

import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import ids
from .bulk import JOB_PREFIX, BulkJobs, Result
from .errors import ApiError
from .faults import Fault
from .render import json_object
from .soql import parse
from .soql_sql import Plan, bulk_refusal, find_sobject, plan, stamp

FILE_ROWS = 250_000
NOTHING = b"Records not found for this query"
_BATCH_PREFIX, _RESULT_PREFIX = "751", "752"
_LATER_SERIALS = 1 << 40  # so that no job has the id of one of Bulk 2.0
_OPERATIONS = ("query", "queryAll")
_CONTENT = ("CSV", "JSON")
_MODES = {"0": "Parallel", "1": "Serial", "Parallel": "Parallel", "Serial": "Serial"}


class JsonResult(Result):
    """A result as a JSON array; every row is kept with the comma before it."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, b"")

    def cut(self, start: int, count: int) -> bytes:
        """The page as it is."""
        return b"[" + super().cut(start, count)[1:] + b"]"


@dataclass(slots=True, kw_only=True)
class Batch:
    """One query of a job."""

    id: str
    job_id: str
    created: str
    modified: str
    state: str = "Queued"
    message: str = ""
    milliseconds: int = 0
    result: Result | None = None
    files: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    ended: threading.Event = field(default_factory=threading.Event)

    def body(self) -> dict[str, object]:
        """The batch as the API shows it."""
        said = {"stateMessage": self.message} if self.message else {}
        return {
            "id": self.id,
            "jobId": self.job_id,
            "state": self.state,
            **said,
            "createdDate": self.created,
            "systemModstamp": self.modified,
            "numberRecordsProcessed": self.result.rows if self.result else 0,
            "numberRecordsFailed": 0,
            "totalProcessingTime": self.milliseconds,
            "apiActiveProcessingTime": 0,
            "apexProcessingTime": 0,
        }


@dataclass(slots=True, kw_only=True)
class JobV1:
    """One job."""

    id: str
    operation: str
    sobject: str
    content: str
    mode: str
    api_version: str
    created: str
    created_by: str
    modified: str
    state: str = "Open"
    batches: dict[str, Batch] = field(default_factory=dict)

    def body(self) -> dict[str, object]:
        """The job as the API shows it."""
        batches = list(self.batches.values())
        states = [batch.state for batch in batches]
        return {
            "id": self.id,
            "operation": self.operation,
            "object": self.sobject,
            "createdById": self.created_by,
            "createdDate": self.created,
            "systemModstamp": self.modified,
            "state": self.state,
            "concurrencyMode": self.mode,
            "contentType": self.content,
            **{f"numberBatches{name}": states.count(name) for name in ("Queued", "InProgress", "Completed", "Failed")},
            "numberBatchesTotal": len(states),
            "numberRecordsProcessed": sum(batch.result.rows for batch in batches if batch.result),
            "numberRetries": 0,
            "apiVersion": float(self.api_version),
            "numberRecordsFailed": 0,
            "totalProcessingTime": sum(batch.milliseconds for batch in batches),
            "apiActiveProcessingTime": 0,
            "apexProcessingTime": 0,
        }


class JobsV1:
    """The Bulk 1.0 jobs of one org. bulk: whose results they share."""

    def __init__(self, bulk: BulkJobs) -> None:
        self.bulk, self.store = bulk, bulk.store
        self._jobs: dict[str, JobV1] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []
        self._made = 0

    def _id(self, prefix: str) -> str:
        with self._lock:
            self._made += 1
            return ids.make(prefix, _LATER_SERIALS + self._made)

    def create(self, wanted: Mapping[str, str], version: str, user_id: str) -> JobV1:
        """Open a job."""
        operation, content = wanted.get("operation", ""), wanted.get("contentType", "XML")
        if operation not in _OPERATIONS or content not in _CONTENT:
            raise _invalid("InvalidJob", f"There is no {operation or 'unnamed'} job of {content} in this org")
        mode = _MODES.get(wanted.get("concurrencyMode", "Parallel"))
        known = {name.lower(): name for name in self.store.sobjects}
        sobject = known.get(wanted.get("object", "").lower())
        if sobject is None or mode is None:
            raise _invalid("InvalidJob", "Unable to find object" if sobject is None else "Unknown concurrencyMode")
        now = stamp(self.store.clock.now())
        job = JobV1(
            id=self._id(JOB_PREFIX), operation=operation, sobject=sobject, content=content, mode=mode,
            api_version=version, created=now, created_by=user_id, modified=now,
        )  # fmt: skip
        self._jobs[job.id] = job
        return job

    def find(self, job_id: str) -> JobV1:
        """The job, or InvalidJob."""
        job = self._jobs.get(ids.widen(job_id))
        if job is None:
            raise _invalid("InvalidJob", f"Unable to find job with id: {job_id}")
        return job

    def batch(self, job_id: str, batch_id: str) -> Batch:
        """One batch of a job, or InvalidBatch."""
        batch = self.find(job_id).batches.get(ids.widen(batch_id))
        if batch is None:
            raise _invalid("InvalidBatch", f"Unable to find batch with id: {batch_id}")
        return batch

    def move(self, job_id: str, state: str) -> JobV1:
        """Close or abort a job; what an aborted one has not begun stays undone."""
        job = self.find(job_id)
        if state not in {"Closed", "Aborted"} or job.state not in {"Open", state}:
            raise _invalid("InvalidJobState", f"A job that is {job.state} cannot become {state or 'nothing'}")
        with self._lock:
            job.state, job.modified = state, stamp(self.store.clock.now())
        if state == "Aborted":
            for batch in job.batches.values():
                self._end(batch, "NotProcessed")
        return job

    def add(self, job_id: str, query: str, faults: Sequence[Fault]) -> Batch:
        """Start a query."""
        job = self.find(job_id)
        if job.state != "Open":
            raise _invalid("InvalidJobState", f"The job is {job.state}")
        now = stamp(self.store.clock.now())
        batch = Batch(id=self._id(_BATCH_PREFIX), job_id=job.id, created=now, modified=now)
        job.batches[batch.id] = batch
        arguments = (job, batch, query, tuple(faults))
        thread = threading.Thread(target=self._run, args=arguments, daemon=True, name=batch.id)
        self._threads = [t for t in self._threads if t.is_alive()] + [thread]
        thread.start()
        return batch

    def _run(self, job: JobV1, batch: Batch, query: str, faults: Sequence[Fault]) -> None:
        with self._lock:
            if batch.state == "Queued":
                batch.state = "InProgress"
        began = time.monotonic()
        if self._closing.wait(self.bulk.job_seconds + sum(f.seconds for f in faults if f.kind == "job_slow")):
            return
        if failed := next((f for f in faults if f.kind == "job_failed"), None):
            self._end(batch, "Failed", message=failed.reason)
            return
        try:
            result = self._result(job, query)
        except ApiError as error:
            message = f"InvalidBatch : Failed to process query: {error.code}: {error.message}"
            self._end(batch, "Failed", message=message)
            return
        except Exception as error:  # noqa: BLE001 - whatever went wrong ends the batch, not the server
            self._end(batch, "Failed", message=f"InternalServerError: {error}")
            return
        starts = range(0, max(result.rows, 1), FILE_ROWS)
        batch.files = {self._id(_RESULT_PREFIX): (at, min(FILE_ROWS, result.rows - at)) for at in starts}
        batch.milliseconds = int((time.monotonic() - began) * 1000)
        self._end(batch, "Completed", result=result)

    def _result(self, job: JobV1, query: str) -> Result:
        planned = self._plan(job, query)
        if job.content == "CSV":
            return self.bulk.csv(job.operation, query, planned, ",", "\n")
        base = f"/services/data/v{job.api_version}"
        line = f"CAST(',' || {json_object(planned, base, epoch=True)} AS BLOB)"
        return self.bulk.kept((job.operation, query, "JSON", base), planned, line, JsonResult)

    def _plan(self, job: JobV1, text: str) -> Plan:
        query = parse(text)
        sobject = find_sobject(query, self.store.sobjects)
        if sobject.name != job.sobject:
            raise ApiError(400, "INVALID_TYPE", f"The job is for {job.sobject}, the query for {sobject.name}")
        planned = plan(query, sobject, deleted=job.operation == "queryAll", now=self.store.clock.now())
        if refused := bulk_refusal(query, planned):
            raise refused
        return planned

    def _end(self, batch: Batch, state: str, *, message: str = "", result: Result | None = None) -> None:
        with self._lock:
            if batch.ended.is_set():
                return
            batch.state, batch.message, batch.result = state, message, result
            batch.modified = stamp(self.store.clock.now())
            batch.ended.set()

    def close(self) -> None:
        """Let running batches end."""
        self._closing.set()
        for thread in self._threads:
            thread.join()
        self._jobs.clear()


def _invalid(code: str, message: str) -> ApiError:
    return ApiError(400, code, message)


def xml_values(text: str) -> dict[str, str]:
    """The simple elements of a document, by their names without namespaces."""
    return {name: value.strip() for name, value in re.findall(r"<(?:\w+:)?(\w+)>([^<]*)</", text)}
