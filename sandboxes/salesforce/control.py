"""Our own endpoints under /sandbox: what Salesforce does not have, for tests, demos and benchmarks.

GET  /sandbox/stats                     requests by path, records by API and object, faults with their hits
POST /sandbox/reset                     {}: forget faults, statistics, used requests, throttle
GET  /sandbox/faults                    all faults; POST adds one ({"kind": …, "path": …}); DELETE clears them
POST /sandbox/records/<object>/<change> insert {"records": [...] | n}, update {"ids": [...] | n, "changes": {...}},
                                        delete, undelete, hard_delete {"ids": [...] | n}; answers {"ids": [...]}
GET  /sandbox/records/<object>/count    {"live": n, "deleted": n}
POST /sandbox/churn                     {"object": …, "update": n, "delete": n, "insert": n}
POST /sandbox/sessions/revoke           {}: every access token ends; {"app": true}: every refresh token too
POST /sandbox/settings                  any of daily_limit, used_requests, rows_per_second, token_lifetime,
                                        rotate_refresh_tokens, job_seconds, bulk_page_rows, auto_approve
POST /sandbox/clock                     {"advance": seconds}, {"held": true | false}: time stands still, or goes on
GET  /sandbox/authority                 {"pem": …}: what a client must trust that comes through CONNECT
A browser cannot send these from another site: they need a loopback Host, and a JSON body where they take one.
"""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .errors import ApiError, SandboxError
from .soql_sql import stamp
from .web import LOOPBACK, Request, Response, as_json

if TYPE_CHECKING:
    from .org import LocalOrg

_RECORDS = re.compile(r"/sandbox/records/(\w+)/(\w+)\Z")


def answer(org: "LocalOrg", request: Request) -> Response:
    """Answer a control request; 400 with a sentence if it makes no sense."""
    try:
        body = _body(request)
        return as_json(_dispatch(org, request, body))
    except (SandboxError, ApiError) as error:
        return as_json({"error": str(error)}, 400)


def _body(request: Request) -> dict[str, Any]:
    host = re.sub(r":\d+\Z", "", request.headers.get("host", "")).strip("[]")
    if host not in LOOPBACK:
        raise SandboxError(f"Control requests must be made to a loopback address, not to {host}.")
    if request.method != "POST":
        return {}
    if "json" not in request.headers.get("content-type", ""):
        raise SandboxError("Control requests need Content-Type: application/json.")
    body = request.json()
    if not isinstance(body, dict):
        raise SandboxError("The body must be a JSON object.")
    return body


def _dispatch(org: "LocalOrg", request: Request, body: dict[str, Any]) -> Any:
    if match := _RECORDS.match(request.path):
        return _records(org, match[1], match[2], body)
    handlers: dict[str, Callable[[LocalOrg, dict[str, Any]], Any]] = {
        "GET /sandbox/stats": lambda o, _: {**o.stats.shown(), "usage": o.usage()[0], "faults": o.faults.listing()},
        "POST /sandbox/reset": _done(lambda o, _: o.reset()),
        "GET /sandbox/faults": lambda o, _: {"faults": o.faults.listing()},
        "POST /sandbox/faults": _add_fault,
        "DELETE /sandbox/faults": _done(lambda o, _: o.faults.clear()),
        "POST /sandbox/churn": _churn,
        "POST /sandbox/sessions/revoke": _done(lambda o, b: o.revoke_app() if b.get("app") else o.revoke_sessions()),
        "POST /sandbox/settings": _settings,
        "POST /sandbox/clock": _clock,
        "GET /sandbox/authority": lambda o, _: {"pem": o.authority},
    }
    handler = handlers.get(f"{request.method} {request.path.rstrip('/')}")
    if handler is None:
        raise SandboxError(f"There is no control endpoint {request.method} {request.path}.")
    try:
        return handler(org, body)
    except (TypeError, ValueError) as error:
        raise SandboxError(f"This makes no sense here: {error}.") from error


def _done(act: "Callable[[LocalOrg, dict[str, Any]], None]") -> "Callable[[LocalOrg, dict[str, Any]], dict[str, bool]]":
    """A handler that acts and answers no more than that."""

    def handler(org: "LocalOrg", body: dict[str, Any]) -> dict[str, bool]:
        act(org, body)
        return {"ok": True}

    return handler


def _add_fault(org: "LocalOrg", body: dict[str, Any]) -> dict[str, int]:
    return {"id": org.faults.add(str(body.pop("kind", "")), **body).id}


def _clock(org: "LocalOrg", body: Mapping[str, Any]) -> dict[str, str]:
    if body.get("held"):
        org.clock.freeze()
    elif "held" in body:
        org.clock.release()
    return {"now": stamp(org.clock.advance(float(body.get("advance", 0))))}


def _churn(org: "LocalOrg", body: Mapping[str, Any]) -> dict[str, list[str]]:
    numbers = {n: int(body.get(n, 0)) for n in ("update", "delete", "insert")}
    return org.churn(str(body.get("object")), **numbers)


def _records(org: "LocalOrg", name: str, change: str, body: Mapping[str, Any]) -> Any:
    ids: Any = body.get("ids", [])
    if not isinstance(ids, int | list):
        raise SandboxError("ids must be a list or a number.")
    handlers: dict[str, Callable[[], Any]] = {
        "count": lambda: org.count(name),
        "insert": lambda: {"ids": org.insert(name, body.get("records", 1))},
        "update": lambda: {"ids": org.update(name, ids, body.get("changes", {}))},
        "delete": lambda: {"ids": org.delete(name, ids)},
        "undelete": lambda: {"ids": org.undelete(name, ids)},
        "hard_delete": lambda: {"ids": org.hard_delete(name, ids)},
    }
    if change not in handlers:
        raise SandboxError(f"There is no change {change}; there are {', '.join(handlers)}.")
    return handlers[change]()


def _settings(org: "LocalOrg", body: Mapping[str, Any]) -> dict[str, bool]:
    settings: dict[str, Callable[[Any], None]] = {
        "daily_limit": lambda v: setattr(org, "daily_limit", int(v)),
        "used_requests": lambda v: org.use_requests(int(v)),
        "rows_per_second": lambda v: setattr(org, "rows_per_second", float(v)),
        "auto_approve": lambda v: setattr(org, "auto_approve", bool(v)),
        "token_lifetime": lambda v: setattr(org.signin, "lifetime", float(v)),
        "rotate_refresh_tokens": lambda v: setattr(org.signin, "rotate", bool(v)),
        "job_seconds": lambda v: setattr(org.bulk, "job_seconds", float(v)),
        "bulk_page_rows": lambda v: setattr(org.bulk, "page_rows", max(int(v), 1)),
    }
    unknown = set(body) - set(settings)
    if unknown:
        raise SandboxError(f"There is no setting {', '.join(sorted(unknown))}; there are {', '.join(settings)}.")
    for name, value in body.items():
        settings[name](value)
    return {"ok": True}
