"""From Salesforce's text to Singer: exact values, without a detour over floating point.

Both APIs are read into rows of text (None or '' is null): CSV is text anyway, and JSON numbers are kept as
they were written. A number therefore reaches the RECORD line digit for digit.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from tap_salesforce.errors import SchemaError

Row = Sequence[str | None]
_quote = json.encoder.encode_basestring_ascii
_is_number = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?").fullmatch
_is_integer = re.compile(r"-?(?:0|[1-9]\d*)").fullmatch
_is_whole = re.compile(r"(-?(?:0|[1-9]\d*))\.0+").fullmatch


def _number(text: str) -> str:
    if _is_number(text):
        return text
    raise ValueError(text)


def _integer(text: str) -> str:
    if _is_integer(text):
        return text
    whole = _is_whole(text)
    if whole:
        return whole[1]
    raise ValueError(text)


_boolean = {"true": "true", "false": "false"}.__getitem__


def _moment(text: str) -> str:
    """REST writes +0000, Bulk writes Z: one of them, so that both APIs give the same row."""
    return _quote(text[:-5] + "Z" if text.endswith("+0000") else text)


Encoder = Callable[[str], str]


def kind(schema: Mapping[str, Any]) -> str:
    """What one property of the catalog holds: number, integer, boolean, or a string's format; "" is any text."""
    types = schema.get("type", "string")
    kinds = {types} if isinstance(types, str) else set(types)
    if "string" in kinds:
        return str(schema.get("format", ""))
    return next((one for one in ("number", "integer", "boolean") if one in kinds), "")


def encoder(schema: Mapping[str, Any]) -> Encoder:
    """What turns a non-empty text into JSON text, for one property of the catalog."""
    encoders = {
        "number": _number,
        "integer": _integer,
        "boolean": _boolean,
        "date-time": _moment,
        "time": _moment,
    }
    return encoders.get(kind(schema), _quote)


_NUMBERS = {"number", "integer"}  # of both, every value is judged by itself
_KINDS = {*_NUMBERS, "boolean", "date", "date-time", "time"}  # what a column may read otherwise than it was meant


def assert_not_retyped(stream: str, catalog: Mapping[str, Mapping[str, Any]], now: Mapping[str, Any]) -> None:
    """SchemaError for a field that held something else when the catalog was made.

    A loader may well read the values as what they were: of a date-time, a column of dates takes the day.
    """
    for name in catalog.keys() & now.keys():
        was, is_ = kind(catalog[name]), kind(now[name])
        holds = was == is_ or {was, is_} <= _NUMBERS or (was, is_) == ("date-time", "date")
        if was in _KINDS and not holds:
            raise SchemaError(
                f"{stream}.{name} is a {is_ or 'text'} in Salesforce now, and a {was} in the catalog.",
                hint="The field was changed in Salesforce: run discovery again.",
            )


class Columns:
    """How rows of one stream become records: which source column goes where, and as what.

    fields:     the columns of a row, in query order
    properties: name → JSON schema of what is emitted, in order; all are fields, but `deleted_at`
    deleted_at: name of the property that is derived: the value of `deleted_when` where IsDeleted is true, else null
    """

    def __init__(
        self,
        stream: str,
        fields: Sequence[str],
        properties: Mapping[str, Mapping[str, Any]],
        *,
        deleted_at: str,
        deleted_when: str | None,
    ) -> None:
        self._stream = stream
        place = {name: number for number, name in enumerate(fields)}
        self._names = [name for name in properties if name in place]
        self._encoders = [(place[name], encoder(properties[name])) for name in self._names]
        self._deleted = place.get("IsDeleted")
        self._when = place.get(deleted_when) if deleted_when else None
        self._tells_deletion = deleted_at in properties
        if self._tells_deletion:
            self._names.append(deleted_at)
            self._encoders.append((len(fields), _moment))
        self._identity = [at for at, _ in self._encoders] == list(range(len(self._encoders)))
        self._functions = [function for _, function in self._encoders]
        self._places = [at for at, _ in self._encoders]
        self._deleted_at, self._deleted_when = deleted_at, deleted_when
        self._gone = 0

    def deletions(self) -> int:
        """How many rows since the last call were marked as deleted."""
        gone, self._gone = self._gone, 0
        return gone

    def tombstones(self, ids: Mapping[str, str]) -> Iterable[dict[str, Any]]:
        """Records of what is gone: the key and the marks of deletion, no other column. ids: with their time."""
        stamps = [name for name in self._names if name in (self._deleted_at, self._deleted_when)]
        marks = {"IsDeleted": True} if "IsDeleted" in self._names else {}
        for name, when in ids.items():
            self._gone += 1
            yield {"Id": name, **marks, **dict.fromkeys(stamps, when)}

    def values(self, row: Row) -> list[str]:
        """The JSON text of each emitted property; SchemaError names the field that does not fit."""
        if self._tells_deletion:
            gone = self._deleted is not None and self._when is not None and row[self._deleted] == "true"
            self._gone += gone
            row = [*row, row[self._when] if gone and self._when is not None else None]
        cells = row if self._identity else [row[at] for at in self._places]
        try:
            return [function(cell) if cell else "null" for function, cell in zip(self._functions, cells, strict=False)]
        except (ValueError, KeyError):
            raise self._misfit(cells) from None

    def lines(self, rows: Iterable[Row], *, extracted: str, version: int | None = None) -> list[str]:
        """RECORD messages, one line each. extracted: ISO time the rows were read."""
        template = self._template(extracted, version)
        values = self.values
        return [template % tuple(values(row)) for row in rows]

    def records(self, rows: Iterable[Row]) -> Iterable[dict[str, Any]]:
        """The same as Python values, for the SDK's own machinery (stream maps, batches)."""
        for row in rows:
            texts = self.values(row)
            yield {name: json.loads(text, parse_float=Decimal) for name, text in zip(self._names, texts, strict=True)}

    def _template(self, extracted: str, version: int | None) -> str:
        fields = ",".join(_quote(name).replace("%", "%%") + ":%s" for name in self._names)
        head = f'{{"type":"RECORD","stream":{_quote(self._stream)},"record":{{'.replace("%", "%%")
        tail = f',"version":{version:d}' if version is not None else ""
        return f'{head}{fields}}}{tail},"time_extracted":"{extracted}"}}\n'

    def _misfit(self, cells: Row) -> SchemaError:
        for name, function, cell in zip(self._names, self._functions, cells, strict=False):
            try:
                _ = function(cell) if cell else None
            except (ValueError, KeyError):
                return SchemaError(
                    f"{self._stream}.{name} holds a value that does not fit its type in the catalog.",
                    hint="The field was changed in Salesforce: run discovery again.",
                )
        raise AssertionError("called for a row that fits")
