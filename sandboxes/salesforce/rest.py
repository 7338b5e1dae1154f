"""The REST and Bulk resources under /services/data: what each path answers.

source: REST API developer guide ("Versions", "Describe Global", "sObject Describe", "Query", "QueryAll", "Limits",
"sObject Basic Information", "sObject Rows", "sObject Get Deleted", "Query Options Header") and the Bulk API 2.0 guide
"""

import base64
import json
import re
import threading
from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from . import ids
from .bulk import URLS_AT_ONCE, BulkJobs, locator, read_locator
from .errors import ApiError, SandboxError, not_found
from .faults import Fault
from .render import json_object
from .schema import SObject
from .soql import Name, parse
from .soql_sql import Plan, find_sobject, plan, read_datetime, stamp
from .store import Store
from .web import Request, Response, as_json

VERSIONS = range(47, 67)
BATCH, SMALLEST_BATCH = 2_000, 200
CURSORS_KEPT = 50
DELETED_DAYS = 30
_GET, _POST, _PATCH, _DELETE = "GET", "POST", "PATCH", "DELETE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request to /services/data/vNN.N with its parts. base: `/services/data/vNN.N`; tail: groups of the path."""

    request: Request
    version: str
    tail: tuple[str, ...]
    faults: Sequence[Fault]

    @property
    def base(self) -> str:
        return f"/services/data/v{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """An open query: its rows are fixed, their values are read page by page."""

    plan: Plan
    rows: "array[int]"
    batch: int


Handler = Callable[["Rest", Call], Response]
ROUTES: list[tuple[str, re.Pattern[str], Handler]] = []


def route(method: str, pattern: str) -> Callable[[Handler], Handler]:
    """Answer requests whose path after the version matches."""

    def register(handler: Handler) -> Handler:
        ROUTES.append((method, re.compile(rf"{pattern}/?\Z"), handler))
        return handler

    return register


class Rest:
    """The resources of one org. served: called with (API, object, rows) for what was handed out."""

    def __init__(
        self, store: Store, bulk: BulkJobs, user_id: str, *,
        served: Callable[[str, str, int], None], usage: Callable[[], tuple[int, int]],
    ) -> None:  # fmt: skip
        self.store, self.bulk, self.user_id = store, bulk, user_id
        self.served, self.usage = served, usage
        self._cursors: OrderedDict[str, Cursor] = OrderedDict()
        self._lock = threading.Lock()
        self._opened = 0

    def answer(self, request: Request, version: str, tail: str, faults: Sequence[Fault]) -> Response:
        """Answer a request whose session is good."""
        if version not in {f"{v}.0" for v in VERSIONS}:
            raise not_found()
        matches = [(m, p.match(tail), h) for m, p, h in ROUTES if p.match(tail)]
        if not matches:
            raise not_found()
        for method, match, handler in matches:
            if method == request.method and match:
                call = Call(request=request, version=version, tail=match.groups(), faults=faults)
                return handler(self, call)
        allowed = ",".join(m for m, _, _ in matches)
        message = f"HTTP Method '{request.method}' not allowed. Allowed are {allowed}"
        raise ApiError(405, "METHOD_NOT_ALLOWED", message)

    def sobject(self, name: str) -> SObject:
        """The object named in a path, or 404."""
        found = next((s for s in self.store.sobjects.values() if s.name.lower() == name.lower()), None)
        if found is None:
            raise not_found()
        return found

    # -- queries --------------------------------------------------------------------------------------------------

    def open_query(self, call: Call, *, deleted: bool) -> Response:
        """The first page of a query."""
        query = parse(call.request.query.get("q", ""))
        sobject = find_sobject(query, self.store.sobjects)
        planned = plan(query, sobject, deleted=deleted, now=self.store.clock.now())
        if planned.counts:
            ((total,),) = self.store.rows(f"SELECT COUNT(*) FROM ({planned.sql('1')})", planned.params)  # noqa: S608
            return as_json({"totalSize": total, "done": True, "records": []})
        if planned.aggregates:
            (row,) = self.store.rows(planned.sql(", ".join(sql for _, sql in planned.aggregates)), planned.params)
            values = dict(zip((alias for alias, _ in planned.aggregates), row, strict=True))
            record = {"attributes": {"type": "AggregateResult"}, **values}
            return as_json({"totalSize": 1, "done": True, "records": [record]})
        rows = array("q", (r for (r,) in self.store.rows(planned.sql("t._row"), planned.params)))
        cursor = Cursor(plan=planned, rows=rows, batch=_batch(call.request))
        with self._lock:
            self._opened += 1
            name = ids.make("01g", self._opened)
            self._cursors[name] = cursor
            while len(self._cursors) > CURSORS_KEPT:
                self._cursors.popitem(last=False)
        return self._page(call, name, cursor, 0)

    def next_page(self, call: Call) -> Response:
        """A later page, by the locator in nextRecordsUrl."""
        name, dash, start = call.tail[0].partition("-")
        cursor = self._cursors.get(name)
        if cursor is None or not dash or not start.isdigit() or int(start) > len(cursor.rows):
            raise ApiError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        return self._page(call, name, cursor, int(start))

    def _page(self, call: Call, name: str, cursor: Cursor, start: int) -> Response:
        part = cursor.rows[start : start + cursor.batch]
        end = start + len(part)
        sobject = cursor.plan.sobject.name
        found: dict[int, str] = {}
        if part:
            sql = f't._row, {json_object(cursor.plan, call.base)} FROM "{sobject}" t'
            listed = ",".join(map(str, part))
            found = dict(self.store.rows(f"SELECT {sql} WHERE t._row IN ({listed})"))
        records = [found[row] for row in part if row in found]
        head: dict[str, Any] = {"totalSize": len(cursor.rows), "done": end >= len(cursor.rows)}
        if not head["done"]:
            head["nextRecordsUrl"] = f"{call.base}/query/{name}-{end}"
        self.served("rest", sobject, len(records))
        body = json.dumps(head, separators=(",", ":"))[:-1] + ',"records":[' + ",".join(records) + "]}"
        return Response(body=body.encode("utf-8", "surrogatepass"), rows=len(records))

    def record(self, call: Call, fields: str | None) -> Response:
        """One record by id, as GET /sobjects/X/id gives it."""
        sobject = self.sobject(call.tail[0])
        names = [Name(n.strip(), 0) for n in fields.split(",")] if fields else [Name(f.name, 0) for f in sobject.fields]
        text = f"SELECT {', '.join(n.text for n in names)} FROM {sobject.name} WHERE Id = '{_id(call.tail[1])}'"
        planned = plan(parse(text), sobject, deleted=False, now=self.store.clock.now())
        rows = self.store.rows(planned.sql(json_object(planned, call.base)), planned.params)
        if not rows:
            raise not_found()
        self.served("rest", sobject.name, 1)
        return Response(body=rows[0][0].encode("utf-8", "surrogatepass"), rows=1)


def _batch(request: Request) -> int:
    """The batch size asked for, held between 200 and 2000."""
    match = re.search(r"batchSize\s*=\s*(\d+)", request.headers.get("sforce-query-options", ""))
    return max(SMALLEST_BATCH, min(BATCH, int(match[1]))) if match else BATCH


def _id(text: str) -> str:
    if not re.fullmatch(r"[0-9A-Za-z]{15}([0-9A-Za-z]{3})?", text):
        raise ApiError(404, "NOT_FOUND", "Provided external ID field does not exist or is not accessible: " + text)
    return ids.widen(text)


@route(_GET, "")
def resources(_: Rest, call: Call) -> Response:
    """The resources of this version."""
    names = ("sobjects", "query", "queryAll", "limits", "jobs")
    return as_json({name: f"{call.base}/{name}" for name in names})


@route(_GET, "/sobjects")
def describe_global(rest: Rest, call: Call) -> Response:
    """All objects."""
    shown = [s.summary(call.base) for s in sorted(rest.store.sobjects.values(), key=lambda s: s.name)]
    return as_json({"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": shown})


@route(_GET, r"/sobjects/(\w+)/describe")
def describe(rest: Rest, call: Call) -> Response:
    """One object with its fields."""
    return as_json(rest.sobject(call.tail[0]).describe(call.base))


@route(_GET, r"/sobjects/(\w+)")
def basic_information(rest: Rest, call: Call) -> Response:
    """One object without its fields."""
    return as_json({"objectDescribe": rest.sobject(call.tail[0]).summary(call.base), "recentItems": []})


@route(_GET, "/limits")
def limits(rest: Rest, _: Call) -> Response:
    """What is left of the day's allowances."""
    used, daily = rest.usage()
    jobs = len(rest.bulk.listing())
    return as_json(
        {
            "DailyApiRequests": {"Max": daily, "Remaining": max(daily - used, 0)},
            "DailyBulkV2QueryJobs": {"Max": 10_000, "Remaining": max(10_000 - jobs, 0)},
            "DailyBulkV2QueryFileStorageMB": {"Max": 976_562, "Remaining": 976_562},
            "DataStorageMB": {"Max": 5_120, "Remaining": 5_000},
        }
    )


@route(_GET, "/query")
def query(rest: Rest, call: Call) -> Response:
    """A SOQL query without deleted records."""
    return rest.open_query(call, deleted=False)


@route(_GET, "/queryAll")
def query_all(rest: Rest, call: Call) -> Response:
    """A SOQL query with deleted records."""
    return rest.open_query(call, deleted=True)


@route(_GET, r"/query(?:All)?/([\w-]+)")
def query_more(rest: Rest, call: Call) -> Response:
    """The next page of either."""
    return rest.next_page(call)


@route(_GET, r"/sobjects/(\w+)/deleted")
def get_deleted(rest: Rest, call: Call) -> Response:
    """What was deleted between two moments; seconds are ignored, and only the last 30 days are known."""
    sobject, now = rest.sobject(call.tail[0]), rest.store.clock.now()
    earliest = stamp(now - timedelta(days=DELETED_DAYS))
    try:
        start, end = (read_datetime(call.request.query.get(n, "").replace(" ", "+")) for n in ("start", "end"))
    except ValueError as error:
        raise ApiError(400, "INVALID_VALUE", f"start and end must be ISO 8601 date-times: {error}") from error
    start, end = (f"{moment[:17]}00.000+0000" for moment in (start, end))
    if start >= end:
        raise ApiError(400, "INVALID_REPLICATION_DATE", "startDate must be at least one minute before endDate")
    if start < f"{earliest[:17]}00.000+0000":
        raise ApiError(400, "INVALID_REPLICATION_DATE", f"startDate before org's earliest available date {earliest}")
    found = rest.store.deleted_log(sobject.name, start, end)
    rest.served("getDeleted", sobject.name, len(found))
    records = [{"deletedDate": at, "id": record_id} for record_id, at in found]
    covered = min(end, stamp(now))
    return as_json({"deletedRecords": records, "earliestDateAvailable": earliest, "latestDateCovered": covered})


@route(_POST, r"/sobjects/(\w+)")
def create(rest: Rest, call: Call) -> Response:
    """A new record."""
    sobject = rest.sobject(call.tail[0])
    values = _values(sobject, call.request.json())
    required = [
        f.name for f in sobject.columns
        if not f.nillable and not f.system and f.type != "boolean" and f.name != "OwnerId" and not values.get(f.name)
    ]  # fmt: skip
    if required:
        message = f"Required fields are missing: [{', '.join(required)}]"
        raise ApiError(400, "REQUIRED_FIELD_MISSING", message, fields=tuple(required))
    (new_id,) = rest.store.insert(sobject.name, [values])
    return as_json(
        {"id": new_id, "success": True, "errors": []}, 201, Location=f"{call.base}/sobjects/{sobject.name}/{new_id}"
    )


@route(_PATCH, r"/sobjects/(\w+)/(\w+)")
def change(rest: Rest, call: Call) -> Response:
    """Change fields of a record."""
    sobject = rest.sobject(call.tail[0])
    values = _values(sobject, call.request.json())
    rest.store.update(sobject.name, [_live(rest, sobject, call.tail[1])], values)
    return Response(status=204)


@route(_DELETE, r"/sobjects/(\w+)/(\w+)")
def remove(rest: Rest, call: Call) -> Response:
    """Move a record to the recycle bin."""
    sobject = rest.sobject(call.tail[0])
    rest.store.delete(sobject.name, [_live(rest, sobject, call.tail[1])])
    return Response(status=204)


@route(_GET, r"/sobjects/(\w+)/(\w{15}|\w{18})")
def read(rest: Rest, call: Call) -> Response:
    """One record."""
    return rest.record(call, call.request.query.get("fields"))


@route(_GET, r"/sobjects/(\w+)/(\w{15,18})/(\w+)")
def blob(rest: Rest, call: Call) -> Response:
    """The content of a base64 field."""
    sobject = rest.sobject(call.tail[0])
    f = sobject.find(call.tail[2])
    if f is None or f.type != "base64":
        raise not_found()
    rows = rest.store.rows(f'SELECT {f.sql} FROM "{sobject.name}" t WHERE t."Id" = ?', (_id(call.tail[1]),))  # noqa: S608
    if not rows:
        raise not_found()
    return Response(body=rows[0][0], type="application/octet-stream")


def _values(sobject: SObject, body: Any) -> dict[str, Any]:
    """The fields of a record to write, by their proper names, or 400."""
    if not isinstance(body, dict):
        raise ApiError(400, "JSON_PARSER_ERROR", "The HTTP entity body is required and must be a JSON object")
    values = {}
    for name, value in body.items():
        f = sobject.find(name)
        if f is None:
            raise ApiError(400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {sobject.name}")
        if f.system or not f.stored:
            message = f"Unable to create/update fields: {f.name}. Please check the security settings of this field."
            raise ApiError(400, "INVALID_FIELD_FOR_INSERT_UPDATE", message, fields=(f.name,))
        if isinstance(value, str) and f.length and f.type != "base64" and len(value) > f.length:
            message = f"{f.name}: data value too large: {value[:40]} (max length={f.length})"
            raise ApiError(400, "STRING_TOO_LONG", message, fields=(f.name,))
        values[f.name] = base64.b64decode(value) if f.type == "base64" and isinstance(value, str) else value
    return values


def _live(rest: Rest, sobject: SObject, record_id: str) -> str:
    """The id of a record that can be written, or 404."""
    wanted = _id(record_id)
    flag = 't."IsDeleted"' if sobject.has("IsDeleted") else "0"
    rows = rest.store.rows(f'SELECT {flag} FROM "{sobject.name}" t WHERE t."Id" = ?', (wanted,))  # noqa: S608
    if not rows:
        raise not_found()
    if rows[0][0]:
        raise ApiError(404, "ENTITY_IS_DELETED", "entity is deleted", fields=())
    return wanted


@route(_POST, "/jobs/query")
def create_job(rest: Rest, call: Call) -> Response:
    """Start a Bulk query."""
    return as_json(rest.bulk.create(call.request.json(), call.version, rest.user_id, call.faults))


@route(_GET, "/jobs/query")
def list_jobs(rest: Rest, _: Call) -> Response:
    """All Bulk queries."""
    return as_json({"done": True, "nextRecordsUrl": None, "records": [j.body(brief=True) for j in rest.bulk.listing()]})


@route(_GET, r"/jobs/query/(\w+)")
def job_state(rest: Rest, call: Call) -> Response:
    """How far a Bulk query is."""
    return as_json(rest.bulk.find(call.tail[0]).body())


@route(_PATCH, r"/jobs/query/(\w+)")
def abort_job(rest: Rest, call: Call) -> Response:
    """Abort a Bulk query."""
    return as_json(rest.bulk.abort(call.tail[0], call.request.json()).body(brief=True))


@route(_DELETE, r"/jobs/query/(\w+)")
def delete_job(rest: Rest, call: Call) -> Response:
    """Forget a Bulk query."""
    rest.bulk.remove(call.tail[0])
    return Response(status=204)


@route(_GET, r"/jobs/query/(\w+)/results")
def job_results(rest: Rest, call: Call) -> Response:
    """One page of a Bulk query's CSV."""
    job, result = rest.bulk.ready(call.tail[0], call.version)
    asked, start_text = call.request.query.get("maxRecords", ""), call.request.query.get("locator", "")
    if asked and (not asked.isdigit() or not int(asked)):
        raise ApiError(400, "INVALID_MAX_RECORDS", f"maxRecords must be a positive number: {asked}")
    start = read_locator(start_text) if start_text else 0
    if not 0 <= start <= result.rows or (start_text and start == result.rows and start):
        raise ApiError(400, "INVALID_LOCATOR", f"invalid locator: {start_text}")
    count = min(int(asked) if asked else rest.bulk.page_rows, max(result.rows - start, 0))
    body = result.page(start, count, zipped=call.request.takes_gzip)
    end = start + count
    rest.served("bulk", job.sobject, count)
    return Response(
        body=body,
        type="text/csv; charset=UTF-8",
        headers={
            "Sforce-NumberOfRecords": str(count),
            "Sforce-Locator": locator(end) if end < result.rows else "null",
        },
        rows=count,
        zipped=call.request.takes_gzip,
    )


@route(_GET, r"/jobs/query/(\w+)/resultPages")
def result_pages(rest: Rest, call: Call) -> Response:
    """Up to five addresses of pages that can be read at the same time."""
    if float(call.version) < 58:  # noqa: PLR2004 - the release that brought it
        raise not_found()
    job, result = rest.bulk.ready(call.tail[0], call.version)
    base, size = f"{call.base}/jobs/query/{job.id}", rest.bulk.page_rows
    text = call.request.query.get("locator", "")
    start = read_locator(text) if text else 0
    starts = range(start, max(result.rows, 1), size)[:URLS_AT_ONCE]
    after = starts[-1] + size if starts else result.rows
    more = after < result.rows
    return as_json(
        {
            "resultPages": [{"resultUrl": f"{base}/results?locator={locator(s)}"} for s in starts],
            "nextRecordsUrl": f"{base}/resultPages?locator={locator(after)}" if more else None,
            "done": not more,
        }
    )


def refused(error: SandboxError) -> ApiError:
    """A wrong use of the store, as the API would say it."""
    return ApiError(400, "INVALID_FIELD", str(error))
