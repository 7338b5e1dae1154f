"""Bulk API 1.0 under /services/async: who answers a path, in XML or JSON.

A job is shown as it was asked for (Content-Type); a batch as its job's content: JSON for JSON, XML for CSV.
source: Bulk API developer guide, "Requests", "Errors"; Content-Types as simple-salesforce and Singer's tap rely on them
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from .bulk_v1 import NOTHING, JobsV1, JobV1, xml_values
from .errors import ApiError
from .faults import Fault
from .web import Request, Response, as_json

PREFIX = "/services/async/"
_NAMESPACE = "http://www.force.com/2009/06/asyncapi/dataload"
_PATH = re.compile(rf"{PREFIX}(\d\d\.\d)/job(?:/(\w+)(?:/(batch)(?:/(\w+)(?:/(result)(?:/(\w+))?)?)?)?)?/?\Z")
_CODES = {"INVALID_SESSION_ID": "InvalidSessionId", "REQUEST_LIMIT_EXCEEDED": "ExceededQuota"}


def session(request: Request) -> str:
    """The access token of a request."""
    return request.headers.get("x-sfdc-session", "")


def refused(error: ApiError, request: Request) -> Response:
    """An error as Bulk 1.0 says it: 400, whatever it is."""
    code = _CODES.get(error.code, error.code)
    status = error.status if error.status not in {401, 403} else 400
    said = {"exceptionCode": code, "exceptionMessage": error.message}
    return as_json(said, status) if _json_asked(request) else _xml("error", said, status)


class BulkV1:
    """The resources of one org. served: called with (API, object, rows) for what was handed out."""

    def __init__(self, jobs: JobsV1, user_id: str, served: Callable[[str, str, int], None]) -> None:
        self.jobs, self.user_id, self.served = jobs, user_id, served

    def answer(self, request: Request, faults: Sequence[Fault]) -> Response:
        """Answer a request whose session is good."""
        match = _PATH.match(request.path)
        if match is None:
            raise ApiError(404, "InvalidUrl", f"Destination URL not reachable: {request.path}")
        version, *rest = match.groups()
        known = [part for part in rest if part]
        methods: Mapping[tuple[str, int], Callable[[], Response]] = {
            ("POST", 0): lambda: self._create(request, version),
            ("GET", 1): lambda: _job(self.jobs.find(known[0]), request),
            ("POST", 1): lambda: _job(self.jobs.move(known[0], _values(request).get("state", "")), request),
            ("GET", 2): lambda: self._batches(known[0]),
            ("POST", 2): lambda: self._add(known[0], request, faults),
            ("GET", 3): lambda: self._batch(known[0], known[2]),
            ("GET", 4): lambda: self._results(known[0], known[2]),
            ("GET", 5): lambda: self._file(known[0], known[2], known[4], request),
        }
        handler = methods.get((request.method, len(known)))
        if handler is None:
            raise ApiError(405, "InvalidUrl", f"{request.method} is not for {request.path}")
        return handler()

    def _create(self, request: Request, version: str) -> Response:
        return _job(self.jobs.create(_values(request), version, self.user_id), request, 201)

    def _add(self, job_id: str, request: Request, faults: Sequence[Fault]) -> Response:
        batch = self.jobs.add(job_id, request.body.decode("utf-8", "replace"), faults)
        return _shown(self.jobs.find(job_id), "batchInfo", batch.body(), 201)

    def _batch(self, job_id: str, batch_id: str) -> Response:
        return _shown(self.jobs.find(job_id), "batchInfo", self.jobs.batch(job_id, batch_id).body())

    def _batches(self, job_id: str) -> Response:
        job = self.jobs.find(job_id)
        return _shown(job, "batchInfoList", {"batchInfo": [batch.body() for batch in job.batches.values()]})

    def _results(self, job_id: str, batch_id: str) -> Response:
        job, files = self.jobs.find(job_id), list(self.jobs.batch(job_id, batch_id).files)
        return as_json(files) if job.content == "JSON" else _xml("result-list", {"result": files})

    def _file(self, job_id: str, batch_id: str, result_id: str, request: Request) -> Response:
        job, batch = self.jobs.find(job_id), self.jobs.batch(job_id, batch_id)
        if batch.result is None or result_id not in batch.files:
            raise ApiError(400, "InvalidResult", f"Unable to find result with id: {result_id}")
        start, count = batch.files[result_id]
        self.served("bulk_v1", job.sobject, count)
        kind = "text/csv" if job.content == "CSV" else "application/json"
        if job.content == "CSV" and not count:
            return Response(body=NOTHING, type=kind)
        zipped = request.takes_gzip
        body = batch.result.page(start, count, zipped=zipped)
        return Response(body=body, type=f"{kind};charset=UTF-8", rows=count, zipped=zipped)


def _json_asked(request: Request) -> bool:
    return "json" in request.headers.get("content-type", "") or "json" in request.headers.get("accept", "")


def _values(request: Request) -> dict[str, str]:
    """What a request about a job says."""
    if not _json_asked(request):
        return xml_values(request.body.decode("utf-8", "replace"))
    said = request.json()
    if not isinstance(said, dict):
        raise ApiError(400, "InvalidJob", "A job is an object")
    return {str(name): str(value) for name, value in said.items()}


def _job(job: JobV1, request: Request, status: int = 200) -> Response:
    return as_json(job.body(), status) if _json_asked(request) else _xml("jobInfo", job.body(), status)


def _shown(job: JobV1, name: str, value: Mapping[str, Any], status: int = 200) -> Response:
    return as_json(value, status) if job.content == "JSON" else _xml(name, value, status)


def _xml(name: str, value: Mapping[str, Any], status: int = 200) -> Response:
    text = f'<?xml version="1.0" encoding="UTF-8"?><{name} xmlns="{_NAMESPACE}">{_elements(value)}</{name}>'
    return Response(status=status, body=text.encode(), type="application/xml")


def _elements(value: Mapping[str, Any]) -> str:
    return "".join(
        f"<{name}>{_elements(one) if isinstance(one, Mapping) else escape(_text(one))}</{name}>"
        for name, some in value.items()
        for one in (some if isinstance(some, list) else [some])
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
