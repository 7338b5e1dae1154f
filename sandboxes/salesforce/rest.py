"""The resources under /services/data: finding who answers a path, and the queries.

source: REST API developer guide, "Versions", "Query", "QueryAll", "Query Options Header", "Limits"
"""

import json
import re
import threading
from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from . import ids
from .bulk import BulkJobs
from .errors import ApiError, SandboxError, not_found
from .faults import Fault
from .render import json_object
from .schema import SObject
from .soql import Name, parse
from .soql_sql import Plan, find_sobject, plan
from .store import Store
from .web import Request, Response, as_json

VERSIONS = range(47, 67)
BATCH, SMALLEST_BATCH = 2_000, 200
CURSORS_KEPT = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request to /services/data/vNN.N with its parts. base: `/services/data/vNN.N`; tail: groups of the path."""

    request: Request
    version: str
    tail: tuple[str, ...]
    faults: Sequence[Fault]

    @property
    def base(self) -> str:
        """The path of this version of the API."""
        return f"/services/data/v{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """An open query: its rows are fixed, their values are read page by page."""

    plan: Plan
    rows: "array[int]"
    batch: int


Handler = Callable[["Rest", Call], Response]


class Routes:
    """The paths of one part of the API, after the version, and who answers them."""

    def __init__(self) -> None:
        self.table: list[tuple[str, re.Pattern[str], Handler]] = []

    def on(self, method: str, pattern: str) -> Callable[[Handler], Handler]:
        """Answer requests whose path matches."""

        def register(handler: Handler) -> Handler:
            self.table.append((method, re.compile(rf"{pattern}/?\Z"), handler))
            return handler

        return register


ROUTES = Routes()


class Rest:
    """The resources of one org. served: called with (API, object, rows) for what was handed out."""

    def __init__(
        self, store: Store, bulk: BulkJobs, user_id: str, *,
        served: Callable[[str, str, int], None], usage: Callable[[], tuple[int, int]], routes: Sequence[Routes],
    ) -> None:  # fmt: skip
        self.store, self.bulk, self.user_id = store, bulk, user_id
        self.served, self.usage = served, usage
        self.routes = [entry for part in (ROUTES, *routes) for entry in part.table]
        self._cursors: OrderedDict[str, Cursor] = OrderedDict()
        self._lock = threading.Lock()
        self._opened = 0

    def answer(self, request: Request, version: str, tail: str, faults: Sequence[Fault]) -> Response:
        """Answer a request whose session is good."""
        if version not in {f"{v}.0" for v in VERSIONS}:
            raise not_found()
        matches = [(m, p.match(tail), h) for m, p, h in self.routes if p.match(tail)]
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
        wanted = record_id(call.tail[1])
        text = f"SELECT {', '.join(n.text for n in names)} FROM {sobject.name} WHERE Id = '{wanted}'"  # noqa: S608 - SOQL
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


def record_id(text: str) -> str:
    """An id from a path in its 18-character form, or 404 for what cannot be one."""
    if not re.fullmatch(r"[0-9A-Za-z]{15}([0-9A-Za-z]{3})?", text):
        raise ApiError(404, "NOT_FOUND", "Provided external ID field does not exist or is not accessible: " + text)
    return ids.widen(text)


@ROUTES.on("GET", "")
def resources(_: Rest, call: Call) -> Response:
    """The resources of this version."""
    names = ("sobjects", "query", "queryAll", "limits", "jobs")
    return as_json({name: f"{call.base}/{name}" for name in names})


@ROUTES.on("GET", "/limits")
def limits(rest: Rest, _: Call) -> Response:
    """What is left of the day's allowances."""
    used, daily = rest.usage()
    jobs = len(rest.bulk.listing())
    return as_json(
        {
            "DailyApiRequests": {"Max": daily, "Remaining": max(daily - used, 0)},
            "DailyBulkApiBatches": {"Max": 15_000, "Remaining": 15_000},
            "DailyBulkV2QueryJobs": {"Max": 10_000, "Remaining": max(10_000 - jobs, 0)},
            "DailyBulkV2QueryFileStorageMB": {"Max": 976_562, "Remaining": 976_562},
            "DataStorageMB": {"Max": 5_120, "Remaining": 5_000},
        }
    )


@ROUTES.on("GET", "/query")
def query(rest: Rest, call: Call) -> Response:
    """A SOQL query without deleted records."""
    return rest.open_query(call, deleted=False)


@ROUTES.on("GET", "/queryAll")
def query_all(rest: Rest, call: Call) -> Response:
    """A SOQL query with deleted records."""
    return rest.open_query(call, deleted=True)


@ROUTES.on("GET", r"/query(?:All)?/([\w-]+)")
def query_more(rest: Rest, call: Call) -> Response:
    """The next page of either."""
    return rest.next_page(call)


def refused(error: SandboxError) -> ApiError:
    """A wrong use of the store, as the API would say it."""
    return ApiError(400, "INVALID_FIELD", str(error))
