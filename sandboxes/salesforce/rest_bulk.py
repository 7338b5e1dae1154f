"""Bulk API 2.0 query jobs under /jobs/query.

source: Bulk API 2.0 guide, "Create a Query Job" to "Get Information About All Query Jobs"
"""

from .bulk import URLS_AT_ONCE, locator, read_locator
from .errors import ApiError, not_found
from .rest import Call, Rest, Routes
from .web import Response, as_json

ROUTES = Routes()


@ROUTES.on("POST", "/jobs/query")
def create_job(rest: Rest, call: Call) -> Response:
    """Start a Bulk query."""
    return as_json(rest.bulk.create(call.request.json(), call.version, rest.user_id, call.faults))


@ROUTES.on("GET", "/jobs/query")
def list_jobs(rest: Rest, _: Call) -> Response:
    """All Bulk queries."""
    return as_json({"done": True, "nextRecordsUrl": None, "records": [j.body(brief=True) for j in rest.bulk.listing()]})


@ROUTES.on("GET", r"/jobs/query/(\w+)")
def job_state(rest: Rest, call: Call) -> Response:
    """How far a Bulk query is."""
    return as_json(rest.bulk.find(call.tail[0]).body())


@ROUTES.on("PATCH", r"/jobs/query/(\w+)")
def abort_job(rest: Rest, call: Call) -> Response:
    """Abort a Bulk query."""
    return as_json(rest.bulk.abort(call.tail[0], call.request.json()).body(brief=True))


@ROUTES.on("DELETE", r"/jobs/query/(\w+)")
def delete_job(rest: Rest, call: Call) -> Response:
    """Forget a Bulk query."""
    rest.bulk.remove(call.tail[0])
    return Response(status=204)


@ROUTES.on("GET", r"/jobs/query/(\w+)/results")
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


@ROUTES.on("GET", r"/jobs/query/(\w+)/resultPages")
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
