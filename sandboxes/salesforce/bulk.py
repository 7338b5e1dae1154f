"""Bulk API 2.0 query jobs: their states, their results as pages of CSV, and the cache that makes those cheap.

source: Bulk API 2.0 guide: "Create a Query Job", "Get Results", "Get Parallel Results", "Abort", "Delete"
"""

import base64
import gzip
import shutil
import tempfile
import threading
import time
import weakref
from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import ids
from .errors import ApiError, not_found
from .faults import Fault
from .render import DELIMITERS, LINE_ENDINGS, csv_header, csv_line
from .soql import parse
from .soql_sql import Plan, bulk_refusal, find_sobject, plan, stamp
from .store import Store

RESULTS_KEPT = 200  # of unchanged data: a large object read in windows, and again
URLS_AT_ONCE = 5
ROWS_AT_ONCE = 5_000
JOB_PREFIX = "750"


class Result:
    """All rows of a finished query as one file; pages are cut by row and compressed once."""

    def __init__(self, directory: Path, header: bytes) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="result-", dir=directory))
        weakref.finalize(self, shutil.rmtree, self.directory, True)
        self.header = header
        self.ends = array("Q", [0])
        self._lock = threading.Lock()

    @property
    def rows(self) -> int:
        """How many records there are."""
        return len(self.ends) - 1

    def fill(self, store: Store, planned: Plan, line: str) -> None:
        """Run the query and write its lines. line: SQL for a record as a line."""
        at = 0
        with store.reader() as db, (self.directory / "rows").open("wb") as out:
            cursor = db.execute(planned.sql(line), planned.params)
            while lines := cursor.fetchmany(ROWS_AT_ONCE):
                for (row,) in lines:
                    at += len(row)
                    self.ends.append(at)
                out.write(b"".join([row for (row,) in lines]))

    def page(self, start: int, count: int, *, zipped: bool) -> bytes:
        """The header and the rows start … start+count-1, perhaps as gzip."""
        path = self.directory / f"{start}-{count}.gz"
        if not zipped:
            return self.cut(start, count)
        if not path.exists():
            with self._lock:
                if not path.exists():
                    aside = path.with_suffix(".part")
                    aside.write_bytes(gzip.compress(self.cut(start, count), 1, mtime=0))
                    aside.replace(path)
        return path.read_bytes()

    def cut(self, start: int, count: int) -> bytes:
        """The page as it is."""
        first, end = self.ends[min(start, self.rows)], self.ends[min(start + count, self.rows)]
        with (self.directory / "rows").open("rb") as file:
            file.seek(first)
            return self.header + file.read(end - first)


@dataclass(slots=True, kw_only=True)
class Job:
    """One query job."""

    id: str
    operation: str
    query: str
    sobject: str
    api_version: str
    delimiter: str
    line_ending: str
    created: str
    created_by: str
    modified: str
    state: str = "UploadComplete"
    error: str = ""
    milliseconds: int = 0
    result: Result | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    def body(self, *, brief: bool = False) -> dict[str, Any]:
        """The job as the API shows it; brief as in the answer to its creation."""
        shown: dict[str, Any] = {
            "id": self.id,
            "operation": self.operation,
            "object": self.sobject,
            "createdById": self.created_by,
            "createdDate": self.created,
            "systemModstamp": self.modified,
            "state": self.state,
            "concurrencyMode": "Parallel",
            "contentType": "CSV",
            "apiVersion": float(self.api_version),
            "lineEnding": self.line_ending,
            "columnDelimiter": self.delimiter,
        }
        if not brief:
            shown |= {
                "jobType": "V2Query",
                "numberRecordsProcessed": self.result.rows if self.result and self.state == "JobComplete" else 0,
                "retries": 0,
                "totalProcessingTime": self.milliseconds,
                "isPkChunkingSupported": True,
            }
        if self.error:
            shown["errorMessage"] = self.error
        return shown


class BulkJobs:
    """The jobs of one org. job_seconds: how long a job stays InProgress at least; page_rows: rows of a page."""

    def __init__(self, store: Store, *, job_seconds: float, page_rows: int) -> None:
        self.store = store
        self.job_seconds, self.page_rows = job_seconds, page_rows
        self._jobs: dict[str, Job] = {}
        self._results: OrderedDict[tuple[Any, ...], Result] = OrderedDict()
        self._lock = threading.Lock()
        self._building = threading.Lock()
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []
        self._made = 0

    def create(self, body: Any, version: str, user_id: str, faults: Sequence[Fault]) -> dict[str, Any]:
        """Check the query as Salesforce does at creation, and start the job; answers it as just created."""
        if not isinstance(body, dict) or body.get("operation") not in {"query", "queryAll"}:
            raise ApiError(400, "INVALIDJOB", "operation must be query or queryAll")
        if not isinstance(body.get("query"), str):
            raise ApiError(400, "INVALIDJOB", "query is missing")
        delimiter, ending = body.get("columnDelimiter", "COMMA"), body.get("lineEnding", "LF")
        if body.get("contentType", "CSV") != "CSV" or delimiter not in DELIMITERS or ending not in LINE_ENDINGS:
            raise ApiError(400, "INVALIDJOB", "contentType, columnDelimiter or lineEnding is not supported")
        planned = self._plan(body["query"], body["operation"])
        now = stamp(self.store.clock.now())
        with self._lock:
            self._made += 1
            job = Job(
                id=ids.make(JOB_PREFIX, self._made), operation=body["operation"], query=body["query"],
                sobject=planned.sobject.name, api_version=version, delimiter=delimiter, line_ending=ending,
                created=now, created_by=user_id, modified=now,
            )  # fmt: skip
            self._jobs[job.id] = job
            thread = threading.Thread(target=self._run, args=(job, planned, tuple(faults)), daemon=True, name=job.id)
            self._threads = [t for t in self._threads if t.is_alive()] + [thread]
        created = job.body(brief=True)
        thread.start()
        return created

    def _plan(self, text: str, operation: str) -> Plan:
        query = parse(text)
        sobject = find_sobject(query, self.store.sobjects)
        planned = plan(query, sobject, deleted=operation == "queryAll", now=self.store.clock.now())
        if refused := bulk_refusal(query, planned):
            raise refused
        return planned

    def _run(self, job: Job, planned: Plan, faults: Sequence[Fault]) -> None:
        self._move(job, {"UploadComplete"}, "InProgress")
        began = time.monotonic()
        slow = sum(f.seconds for f in faults if f.kind == "job_slow")
        if self._closing.wait(self.job_seconds + slow):
            return
        ending = next((f for f in faults if f.kind in {"job_failed", "job_aborted"}), None)
        if ending:
            job.error = ending.reason if ending.kind == "job_failed" else ""
            self._move(job, {"InProgress"}, "Failed" if ending.kind == "job_failed" else "Aborted")
            return
        try:
            job.result = self._result(job, planned)
        except Exception as error:  # noqa: BLE001 - as at Salesforce, whatever went wrong ends the job, not the server
            job.error = f"InternalServerError: {error}"
            self._move(job, {"InProgress"}, "Failed")
            return
        job.milliseconds = int((time.monotonic() - began) * 1000)
        self._move(job, {"InProgress"}, "JobComplete")

    def _result(self, job: Job, planned: Plan) -> Result:
        return self.csv(job.operation, job.query, planned, DELIMITERS[job.delimiter], LINE_ENDINGS[job.line_ending])

    def csv(self, operation: str, query: str, planned: Plan, delimiter: str, line_ending: str) -> Result:
        """The result as CSV."""
        line = csv_line(planned.fields, delimiter, line_ending)
        header = csv_header(planned.fields, delimiter, line_ending)
        return self.kept((operation, query, delimiter, line_ending), planned, line, lambda at: Result(at, header))

    def kept(self, key: tuple[str, ...], planned: Plan, line: str, made: Callable[[Path], Result]) -> Result:
        """The result, perhaps from an earlier job with the same key on unchanged data. line: SQL for a record."""
        known = (self.store.version, self.store.clock.now().date(), *key)
        with self._building:
            if known in self._results:
                self._results.move_to_end(known)
                return self._results[known]
            result = made(self.store.directory)
            result.fill(self.store, planned, line)
            for old in [other for other in self._results if other[0] != self.store.version]:
                del self._results[old]
            self._results[known] = result
            while len(self._results) > RESULTS_KEPT:
                self._results.popitem(last=False)
            return result

    def _move(self, job: Job, before: set[str], after: str) -> bool:
        with self._lock:
            if job.state not in before:
                return False
            job.state = after
            job.modified = stamp(self.store.clock.now())
        if after not in {"UploadComplete", "InProgress"}:
            job.ended.set()
        return True

    def find(self, job_id: str) -> Job:
        """The job, or 404."""
        job = self._jobs.get(ids.widen(job_id))
        if job is None:
            raise not_found()
        return job

    def listing(self) -> list[Job]:
        """All jobs, oldest first."""
        return list(self._jobs.values())

    def abort(self, job_id: str, body: Any) -> Job:
        """PATCH with state Aborted; only before the job has ended."""
        job = self.find(job_id)
        if not isinstance(body, dict) or body.get("state") != "Aborted":
            raise ApiError(400, "INVALIDJOBSTATE", "state can only be changed to Aborted")
        if not self._move(job, {"UploadComplete", "InProgress"}, "Aborted"):
            raise ApiError(400, "INVALIDJOBSTATE", f"Aborting already {job.state} Job not allowed")
        return job

    def remove(self, job_id: str) -> None:
        """DELETE; only after the job has ended."""
        job = self.find(job_id)
        if job.state in {"UploadComplete", "InProgress"}:
            raise ApiError(400, "INVALIDJOBSTATE", "Job must be in a terminal state to be deleted")
        del self._jobs[job.id]

    def ready(self, job_id: str, version: str) -> tuple[Job, Result]:
        """The job and its result if there is one to read."""
        job = self.find(job_id)
        if job.api_version != version:
            message = f"The job was created with API version {job.api_version}; its results must be read with it"
            raise ApiError(409, "VERSION_MISMATCH", message)
        if job.state != "JobComplete" or job.result is None:
            raise ApiError(400, "INVALIDJOBSTATE", f"Results are not available: the job is {job.state}")
        return job, job.result

    def close(self) -> None:
        """Let running jobs end."""
        self._closing.set()
        for thread in self._threads:
            thread.join()
        self._results.clear()
        self._jobs.clear()


def locator(row: int) -> str:
    """The locator of the page that starts at that row (`MTAwMDA` for 10000, as in the guide)."""
    return base64.urlsafe_b64encode(str(row).encode()).decode().rstrip("=")


def read_locator(text: str) -> int:
    """The row a locator stands for, or 400."""
    try:
        return int(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except ValueError as error:
        raise ApiError(400, "INVALID_LOCATOR", f"invalid locator: {text}") from error
