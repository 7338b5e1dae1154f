"""From RECORD messages to rows of CSV for COPY, with as little Python per record as can be.

A type is made for each layout, so that msgspec decodes a line straight into a tuple in column order: texts as
str, numbers digit for digit (float_hook=str), objects and arrays as the bytes they came as. What does not fit
that type (a number where the schema says text, a lone surrogate) goes the long way, one record at a time.
"""

import csv
import io
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

import msgspec
import simplejson  # type: ignore[import-untyped]  # its stubs are a package of their own

from target_postgres_copy.errors import MessageError, MisfitError, MissingKeyError
from target_postgres_copy.kinds import Kind
from target_postgres_copy.layout import DELETED_AT, EXTRACTED_AT, MARKS, Column, Layout

_AS_TEXT: Final = frozenset({Kind.TEXT, Kind.DATE, Kind.TIME, Kind.TIMESTAMP, Kind.UUID})
# What fits goes the quick way: `now` and its like are shorter, and a date with a time is longer.
_TEXTS: Final[Mapping[Kind, Any]] = {
    Kind.DATE: Annotated[str, msgspec.Meta(min_length=10, max_length=10)],
    Kind.TIMESTAMP: Annotated[str, msgspec.Meta(min_length=10)],
    Kind.TIME: Annotated[str, msgspec.Meta(min_length=4)],
}
_TIME_OF_DAY: Final = re.compile(r"[Tt ](?!00?:00(?::00(?:\.0*)?)?(?![\d.:]))\d{1,2}:\d\d")  # but for its beginning
# source: Postgres, "Special Values": what these are depends on when they are read
_WHEN_READ: Final = frozenset({"now", "today", "tomorrow", "yesterday"})
_NOT_IN_JSONB: Final = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")  # NUL, and halves of what may not be a pair
_BEYOND_MSGSPEC: Final = re.compile(r'[\\"\x00-\x1f]')  # source: msgspec, "Renamed field names must not contain …"
_EMPTY: Final = f"\x02{secrets.token_hex(8)}\x02"  # stands for '' until it is written as ""
_FILLER: Final = "\0company"  # no property's name, since the column would lose the NUL
_generic: Final = msgspec.json.Decoder(float_hook=Decimal)

Row = Sequence[Any]
_Field = tuple[str, Any] | tuple[str, Any, Any]


def decode(line: bytes | str) -> Any:
    """One JSON document, floats as Decimal; MessageError where it is none."""
    try:
        return _generic.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        try:  # msgspec refuses NaN and lone surrogates, which some taps write
            return simplejson.loads(line, use_decimal=True)
        except ValueError:
            raise MessageError("The tap wrote a line that is not JSON.", hint="See the tap's own log.") from None


def text_of(kind: Kind, value: object) -> str | None:
    """How COPY is told a value; None is null."""
    if value is None:
        return None
    if kind is Kind.JSONB or isinstance(value, (dict, list, tuple)):
        return _json(_without_nul(value))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return _decoded(value)
    if kind is Kind.BIGINT and isinstance(value, Decimal) and value == value.to_integral_value():
        return str(int(value))
    return value.isoformat() if isinstance(value, (datetime, date, time)) else str(value)


class RecordFormat:
    r"""How records of one layout become rows.

    sources:    the properties in the order of a row. A lone one gets company, because a lone `\.` on a line would
                end the COPY.
    deleted_at: where in a row it says that the record is gone at the source
    """

    def __init__(self, layout: Layout, *, metadata: bool) -> None:
        self._layout = layout
        self._columns = layout.from_source()
        self._metadata = metadata
        self.sources = [column.source for column in self._columns]
        self.sources += [EXTRACTED_AT] if metadata else []
        self._filler = ["t"] if len(self.sources) == 1 else []
        self.sources += [_FILLER] if self._filler else []
        self._objects = [at for at, column in enumerate(self._columns) if column.kind is Kind.JSONB]
        self._record = _record_type(self._columns)
        self.deleted_at = next((at for at, name in enumerate(self.sources) if name == DELETED_AT), None)
        self._keys = [at for at, column in enumerate(self._columns) if column.key]
        self._all = {name for name in self.sources if not name.startswith("_sdc_")}

    @property
    def marks(self) -> Sequence[Column]:
        """The columns that a tombstone has, the key aside."""
        return [column for column in self._layout.columns if self._is_mark(column.source) and not column.key]

    def is_tombstone(self, properties: Iterable[str]) -> bool:
        """Whether a deleted row's record had these properties because nothing else is known about it any more."""
        keys = {self.sources[at] for at in self._keys}
        given = set(properties)
        return bool(keys) and not self._all <= given and all(name in keys or self._is_mark(name) for name in given)

    def key_of(self, row: Row) -> tuple[str, ...]:
        """What tells rows apart."""
        return tuple(str(row[at]) for at in self._keys)

    def _is_mark(self, name: str) -> bool:
        return name in MARKS or (name.startswith("_sdc_") and name in self.sources)

    def message_decoder(self) -> Callable[[bytes], Any]:
        """Decodes a RECORD line of this stream; msgspec's errors for everything else."""
        fields: list[_Field] = [
            ("stream", str),
            ("record", self._record),
            ("time_extracted", str | None, None),
            ("version", Any, None),
        ]
        message = msgspec.defstruct("Message", fields, tag_field="type", tag="RECORD", gc=False)
        return msgspec.json.Decoder(message, float_hook=str).decode

    def row(self, message: Any) -> Row:
        """A decoded message as a row."""
        values: Row = msgspec.structs.astuple(message.record)
        if self._objects:
            values = self._with_objects(values)
        if self._metadata:
            values = (*values, message.time_extracted)
        if "" in values:
            values = [_EMPTY if value == "" else value for value in values]
        return (*values, "t") if self._filler else values

    def rows(self, lines: Iterable[bytes], *, extracted: str | None) -> Iterable[Row]:
        """Lines of plain records (a JSONL batch file) as rows."""
        quick = msgspec.json.Decoder(self._record, float_hook=str).decode
        for line in lines:
            if line.isspace():
                continue
            try:
                yield self.row(_Plain(quick(line), extracted))
            except (msgspec.MsgspecError, UnicodeDecodeError):
                yield self.row_of(decode(line), extracted=extracted)

    def row_of(self, record: Mapping[str, Any], *, extracted: object) -> Row:
        """A row the long way, from any record; MissingKeyError without a key."""
        if not isinstance(record, Mapping):
            raise MessageError(f"A record of {self._layout.stream} is not an object.", hint="See the tap's own log.")
        missing = [key.source for key in self._layout.keys if key.source not in record]
        if missing:
            raise MissingKeyError(
                f"A record of {self._layout.stream} has no {', '.join(missing)}, which is its key.",
                hint="Select the key's fields in the catalog.",
            )
        values = [self._text(column, record.get(column.source)) for column in self._columns]
        values += [text_of(Kind.TIMESTAMP, extracted)] if self._metadata else []
        return [*(_EMPTY if value == "" else value for value in values), *self._filler]

    def _text(self, column: Column, value: object) -> str | None:
        """How COPY is told a value; MisfitError where Postgres would take it for another without a word."""
        text = text_of(column.kind, value)
        if text is not None and column.kind in _TEXTS and _is_misread(column.kind, text):
            raise MisfitError(
                f'A value for the column "{column.name}" of {self._layout.label} is no {column.kind.value}:'
                " Postgres would cut off its time, or take the time of the load.",
                hint="Correct it at the source, or let the tap say its true type.",
            )
        return text

    def _with_objects(self, values: Row) -> list[Any]:
        changed = list(values)
        for at in self._objects:
            raw = changed[at]
            if raw is not None:
                changed[at] = _object(bytes(raw))
        return changed


class _Plain:
    __slots__ = ("record", "time_extracted")

    def __init__(self, record: Any, time_extracted: str | None) -> None:
        self.record = record
        self.time_extracted = time_extracted


def written(rows: Sequence[Row]) -> tuple[bytes, int]:
    """Rows as CSV, and how many NUL characters were left out: null is nothing, an empty text is two quotes."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows(rows)
    text = out.getvalue()
    nuls = text.count("\0")
    if nuls:
        text = text.replace("\0", "")
    if _EMPTY in text:
        text = text.replace(_EMPTY, '""')
    try:
        return text.encode(), nuls
    except UnicodeEncodeError:  # halves of surrogate pairs have no UTF-8
        return text.encode(errors="replace"), nuls


def _record_type(columns: Sequence[Column]) -> type[msgspec.Struct]:
    """A type that decodes to the columns in order; one that fits nothing where a name is beyond msgspec."""
    if any(_BEYOND_MSGSPEC.search(column.source) for column in columns):
        return msgspec.defstruct("Nothing", [("fits", Literal["nothing"])])
    fields: list[_Field] = []
    rename = {}
    for at, column in enumerate(columns):
        rename[f"f{at}"] = column.source
        if column.kind is Kind.JSONB:
            fields.append((f"f{at}", msgspec.Raw) if column.key else (f"f{at}", msgspec.Raw, None))
        elif column.kind in _AS_TEXT:
            text = _TEXTS.get(column.kind, str)
            fields.append((f"f{at}", text) if column.key else (f"f{at}", text | None, None))
        elif column.kind is Kind.BIGINT:  # 5.0 is an integer too
            fields.append((f"f{at}", int) if column.key else (f"f{at}", int | None, None))
        else:  # Postgres judges these better than we could
            fields.append((f"f{at}", Any) if column.key else (f"f{at}", Any, None))
    return msgspec.defstruct("Record", fields, rename=rename, gc=False, kw_only=True)


def _is_misread(kind: Kind, text: str) -> bool:
    return text.strip().lower() in _WHEN_READ or (kind is Kind.DATE and _TIME_OF_DAY.search(text) is not None)


def _object(raw: bytes) -> str | None:
    if raw == b"null":
        return None
    if _NOT_IN_JSONB.search(raw):
        return _json(_without_nul(simplejson.loads(raw, use_decimal=True)))
    return _decoded(raw)


def _json(value: object) -> str:
    try:
        return str(simplejson.dumps(value, use_decimal=True, ensure_ascii=False, default=str))
    except ValueError:  # bytes and floats out of Parquet
        raise MessageError("The tap wrote a value that JSON has no way to say.", hint="See its log.") from None


def _decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise MessageError(
            "The tap wrote bytes that are no UTF-8.", hint="Let it write texts as UTF-8, and anything else as base64."
        ) from None


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, Mapping):
        return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    return [_without_nul(item) for item in value] if isinstance(value, (list, tuple)) else value
