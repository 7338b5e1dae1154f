"""What an extractor's discovery may answer with: read, and held to the shape others count on.

Only what is looked at is checked, and nothing is changed; names may still hold anything. source: Singer specification,
"Discovery Mode"; hub.meltano.com, "Singer spec: catalog metadata"
"""

import json
import math
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

_DEEPEST = 100  # objects and lists within each other; who walks through them does so by recursion


class _Shape(BaseModel):
    """What is looked at; a default stands for what may be missing, but not be null."""

    model_config = ConfigDict(strict=True, defer_build=True)


class _Facts(_Shape):
    inclusion: str | None = None
    forced_method: str | None = Field(None, alias="forced-replication-method")
    method: str | None = Field(None, alias="replication-method")
    key: str | None = Field(None, alias="replication-key")
    valid_keys: list[str] | None = Field(None, alias="valid-replication-keys")
    table_keys: list[str] | None = Field(None, alias="table-key-properties")


class _Metadata(_Shape):
    breadcrumb: list[str | int]
    metadata: _Facts


class _Schema(_Shape):
    properties: dict[str, Any] = {}


class _Entry(_Shape):
    tap_stream_id: str = ""
    stream: str = ""
    schema_: _Schema = Field(_Schema(), alias="schema")
    metadata: list[_Metadata] = []
    key_properties: list[str] | None = None
    replication_key: str | None = None
    replication_method: str | None = None


class _Catalog(_Shape):
    streams: list[_Entry]


class MalformedCatalogError(ValueError):
    """It is a catalog, but one that cannot be worked with; the text says where and why, without anything it holds."""


def parse(answer: bytes) -> dict[str, Any] | None:
    """The catalog in what an extractor printed; None where there is none. Some print a line or two before it.

    Raises MalformedCatalogError.
    """
    text = answer[max(answer.find(b"{"), 0) :]
    try:
        found = json.loads(text, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not isinstance(found.get("streams"), list):
        return None
    if not _is_flat(found):
        raise MalformedCatalogError(f"more than {_DEEPEST} levels lie within each other")
    try:
        checked = _Catalog.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise MalformedCatalogError(f"{where}: {first['msg'].lower()}") from None
    for number, entry in enumerate(checked.streams):
        if not (entry.tap_stream_id or entry.stream):
            raise MalformedCatalogError(f"streams.{number}: it has no name")
    return found


def _finite(text: str) -> float:
    """Numbers that are none (NaN, 1e999) cannot be stored."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _is_flat(value: Any) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        level = [inner for outer in level for inner in _within(outer)]
        if not level:
            return True
    return False


def _within(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [each for each in inner if isinstance(each, dict | list)]
