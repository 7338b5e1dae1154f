"""Objects and records under /sobjects: describe, read, write, and what was deleted.

source: REST API developer guide, "Describe Global", "sObject Describe", "sObject Basic Information", "sObject Rows",
"sObject Blob Get", "sObject Get Deleted"
"""

import base64
from typing import Any

from . import deleted
from .errors import ApiError, not_found
from .rest import Call, Rest, Routes, record_id
from .schema import SObject
from .web import Response, as_json

ROUTES = Routes()


@ROUTES.on("GET", "/sobjects")
def describe_global(rest: Rest, call: Call) -> Response:
    """All objects."""
    shown = [s.summary(call.base) for s in sorted(rest.store.sobjects.values(), key=lambda s: s.name)]
    return as_json({"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": shown})


@ROUTES.on("GET", r"/sobjects/(\w+)/describe")
def describe(rest: Rest, call: Call) -> Response:
    """One object with its fields."""
    return as_json(rest.sobject(call.tail[0]).describe(call.base))


@ROUTES.on("GET", r"/sobjects/(\w+)")
def basic_information(rest: Rest, call: Call) -> Response:
    """One object without its fields."""
    return as_json({"objectDescribe": rest.sobject(call.tail[0]).summary(call.base), "recentItems": []})


@ROUTES.on("GET", r"/sobjects/(\w+)/deleted")
def get_deleted(rest: Rest, call: Call) -> Response:
    """What was deleted between two moments."""
    sobject = rest.sobject(call.tail[0])
    told = deleted.answer(rest.store, sobject, call.request.query)
    rest.served("getDeleted", sobject.name, len(told["deletedRecords"]))
    return as_json(told)


@ROUTES.on("POST", r"/sobjects/(\w+)")
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
    location = f"{call.base}/sobjects/{sobject.name}/{new_id}"
    return as_json({"id": new_id, "success": True, "errors": []}, 201, Location=location)


@ROUTES.on("PATCH", r"/sobjects/(\w+)/(\w+)")
def change(rest: Rest, call: Call) -> Response:
    """Change fields of a record."""
    sobject = rest.sobject(call.tail[0])
    values = _values(sobject, call.request.json())
    rest.store.update(sobject.name, [_live(rest, sobject, call.tail[1])], values)
    return Response(status=204)


@ROUTES.on("DELETE", r"/sobjects/(\w+)/(\w+)")
def remove(rest: Rest, call: Call) -> Response:
    """Move a record to the recycle bin."""
    sobject = rest.sobject(call.tail[0])
    rest.store.delete(sobject.name, [_live(rest, sobject, call.tail[1])])
    return Response(status=204)


@ROUTES.on("GET", r"/sobjects/(\w+)/(\w{15}|\w{18})")
def read(rest: Rest, call: Call) -> Response:
    """One record."""
    return rest.record(call, call.request.query.get("fields"))


@ROUTES.on("GET", r"/sobjects/(\w+)/(\w{15,18})/(\w+)")
def blob(rest: Rest, call: Call) -> Response:
    """The content of a base64 field."""
    sobject = rest.sobject(call.tail[0])
    f = sobject.find(call.tail[2])
    if f is None or f.type != "base64":
        raise not_found()
    rows = rest.store.rows(f'SELECT {f.sql} FROM "{sobject.name}" t WHERE t."Id" = ?', (record_id(call.tail[1]),))  # noqa: S608
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


def _live(rest: Rest, sobject: SObject, text: str) -> str:
    """The id of a record that can be written, or 404."""
    wanted = record_id(text)
    flag = 't."IsDeleted"' if sobject.has("IsDeleted") else "0"
    rows = rest.store.rows(f'SELECT {flag} FROM "{sobject.name}" t WHERE t."Id" = ?', (wanted,))  # noqa: S608
    if not rows:
        raise not_found()
    if rows[0][0]:
        raise ApiError(404, "ENTITY_IS_DELETED", "entity is deleted", fields=())
    return wanted
