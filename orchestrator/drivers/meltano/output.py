"""Read what Meltano and its plugins say: one line of output in, one typed value out.

Meltano logs JSON on stderr. `read` is total: whatever is no log of Meltano's becomes a LogLine with the text as it
came. Plugins decide what most lines say, so every text goes through `clean`, and only what a plugin cannot set tells
who spoke: Meltano copies fields of a plugin's own JSON beside its own, over `producer` and `consumer` too, but
`_logger` is written last.

source: Meltano 4.4: cli/run.py ("Block run completed"), core/logging/output_logger.py, core/plugin_invoker.py
(get_logger); structlog.stdlib.ExtraAdder; singer_sdk.metrics; Unicode, DerivedCoreProperties.txt
(Default_Ignorable_Code_Point)
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from typing import Any, Final

MESSAGE_LIMIT: Final = 16 * 1024  # characters
_NAME_LIMIT = 1024  # characters
_BEGINNING = 100  # characters
_TAGS_LIMIT = 32
_STATUS_LIMIT = 255
_NUMBER_LIMIT = 2**53  # what every reader of JSON can count to
_METRIC = "METRIC: "
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_CONTROL = r"\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"  # not tab and newline
_UNSEEN = (  # zero-width characters, and those that turn the direction of writing
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    r"\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_NOT_SHOWN = re.compile(f"[{_CONTROL}{_UNSEEN}]")
_LINES = re.compile(r"[\t\n]+")
_SPEAKER = re.compile(r"<\w+ meltano\.plugin\.(?:stderr|stdout)\.(extractors|loaders)\.[a-z0-9-]+ ")
_JUDGE = re.compile(r"<\w+ meltano\.cli\.run ")
_CONSOLE = re.compile(r"^\S+Z \[(\w+) *\] meltano +")  # what Meltano says before it reads its log settings
_PREFIX = re.compile(
    r"^(?:[\d\-:.,TZ+ ]+\|?\s*)?(DEBUG|INFO|WARNING|WARN|ERROR|CRITICAL|FATAL)\b[\s|:]*", re.IGNORECASE
)

Redact = Callable[[str], str]


class Source(StrEnum):
    """Who said it."""

    TAP = "tap"
    TARGET = "target"
    MELTANO = "meltano"


class Level(StrEnum):
    """How bad it is; the speaker's own judgement."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """Something said for people. at: when Meltano saw it, UTC; stream: where the speaker named one."""

    at: datetime
    source: Source
    level: Level
    message: str
    stream: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A measurement of a plugin.

    name:   record_count, http_request_duration …; a plugin resets its counters as it reports: add the values up
    kind:   counter, timer …
    """

    at: datetime
    source: Source
    name: str
    kind: str
    value: float
    stream: str | None = None
    tags: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockCompleted:
    """Meltano's verdict on one pipeline. Exit codes are None for a side that did not fail."""

    at: datetime
    success: bool
    seconds: float
    error: str | None = None
    extractor_code: int | None = None
    loader_code: int | None = None


Output = LogLine | Metric | BlockCompleted


def visible(text: str) -> str:
    """The text without ANSI sequences, control characters and characters nobody sees; newline and tab stay."""
    return _NOT_SHOWN.sub("", _ANSI.sub("", text)) if not text.isascii() or not text.isprintable() else text


def clean(text: str, redact: Redact = str) -> str:
    """The text as people may see it: made visible, then redacted, then cut at MESSAGE_LIMIT.

    In this order: a secret with something invisible in it would pass the redactor and be whole again afterwards.
    """
    return _cut(redact(visible(text)).rstrip(), MESSAGE_LIMIT)


def clean_name(text: str, redact: Redact = str) -> str:
    """The same for names: on one line, and shorter."""
    return _cut(redact(_LINES.sub(" ", visible(text))).strip(), _NAME_LIMIT)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}… [{len(text) - limit:,} characters cut]"


def read(
    line: bytes, *, redact: Redact = str, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Output | None:
    """One line of Meltano's stderr; None where it is empty."""
    text = line.decode("utf-8", errors="replace").strip()
    if not text:
        return None
    fields = _fields(text)
    if fields is None:
        return _plain(text, Source.MELTANO, now(), redact)
    at = _time(fields.get("timestamp")) or now()
    event = _text(fields["event"], default=text)
    logger = _text(fields.get("_logger"))
    if event == "Block run completed" and "success" in fields and _JUDGE.match(logger):
        return _block(fields, at, redact)
    source = _source(logger)
    return _metric(fields, event, source, at, redact) or _log(fields, event, source, at, redact)


def _fields(text: str) -> dict[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and "event" in found else None


def _text(value: Any, *, default: str = "") -> str:
    """The value where it is text; what else a plugin puts there may be too deep or too large to be written out."""
    return value if isinstance(value, str) else default


def _number(value: Any) -> int | float | None:
    """The value where it can be counted with: neither infinite nor NaN, nor larger than a database's columns."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _NUMBER_LIMIT:
        return None
    return value


def _time(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
        return found.astimezone(UTC) if found.tzinfo else None
    except (ValueError, OverflowError):  # in UTC it may be before the year 1
        return None


def _source(logger: str) -> Source:
    """Whose output Meltano's logger stands for."""
    found = _SPEAKER.match(logger)
    if found is None:
        return Source.MELTANO
    return Source.TAP if found[1] == "extractors" else Source.TARGET


def _said_level(message: str) -> Level:
    """The level a line begins with, as Singer's loggers write it; only its beginning is looked at."""
    found = _PREFIX.match(message[:_BEGINNING])
    return _level(found[1]) if found else Level.INFO


def _level(value: Any) -> Level:
    name = _text(value).lower()
    return {"warn": Level.WARNING, "fatal": Level.CRITICAL}.get(name) or (
        Level(name) if name in Level.__members__.values() else Level.INFO
    )


def _plain(text: str, source: Source, at: datetime, redact: Redact) -> LogLine:
    """A line without structure."""
    message = _CONSOLE.sub("", clean(text, redact))
    return LogLine(at=at, source=source, level=_said_level(message), message=message)


def _log(fields: Mapping[str, Any], event: str, source: Source, at: datetime, redact: Redact) -> LogLine:
    message = visible(event)
    level = _level(fields.get("level"))
    if source is not Source.MELTANO and level is Level.INFO:
        level = _said_level(message)
    reason = visible(_reason(fields.get("plugin_exception") or fields.get("exception")))
    if reason and (reason.partition(": ")[2] or reason) not in message:
        message = f"{message}: {reason}".removeprefix(": ")
    stream = fields.get("stream_name")
    return LogLine(
        at=at,
        source=source,
        level=level,
        message=clean(message, redact),
        stream=clean_name(stream, redact) if isinstance(stream, str) else None,
    )


def _reason(exception: Any) -> str:
    """The last exception of a chain as "Type: text"; empty where there is none."""
    names = ("type", "message")
    if isinstance(exception, list) and exception:
        exception, names = exception[0], ("exc_type", "exc_value")
    if not isinstance(exception, dict):
        return ""
    return ": ".join(_text(exception.get(name)) for name in names).strip(": ")


def _metric(fields: Mapping[str, Any], event: str, source: Source, at: datetime, redact: Redact) -> Metric | None:
    found = fields.get("metric_info")
    if not isinstance(found, dict):
        start = event.find(_METRIC)
        if start < 0:
            return None
        try:
            found = json.loads(event[start + len(_METRIC) :])
        except (ValueError, RecursionError):
            return None
    return _measured(found, source, at, redact) if isinstance(found, dict) else None


def _measured(found: Mapping[str, Any], source: Source, at: datetime, redact: Redact) -> Metric | None:
    value, name, tags = _number(found.get("value")), found.get("metric"), found.get("tags")
    if value is None or not isinstance(name, str):
        return None
    tags = tags if isinstance(tags, dict) else {}
    stream = tags.get("stream", tags.get("endpoint") if name == "record_count" else None)
    kind = _text(found.get("metric_type", found.get("type")))
    return Metric(
        at=at,
        source=source,
        name=clean_name(name, redact),
        kind=clean_name(kind, redact),
        value=value,
        stream=clean_name(stream, redact) if isinstance(stream, str) else None,
        tags=dict(_tags(tags, redact)),
    )


def _tags(tags: Mapping[str, Any], redact: Redact) -> Iterator[tuple[str, str | int | float | bool]]:
    for key, value in islice(tags.items(), _TAGS_LIMIT):
        kept = clean_name(value, redact) if isinstance(value, str) else value
        if isinstance(kept, str | bool) or _number(kept) is not None:
            yield clean_name(key, redact), kept


def _block(fields: Mapping[str, Any], at: datetime, redact: Redact) -> BlockCompleted:
    codes = fields.get("exit_codes")
    codes = codes if isinstance(codes, dict) else {}
    error = _text(fields.get("err"))
    return BlockCompleted(
        at=at,
        success=fields.get("success") is True,
        seconds=float(_number(fields.get("duration_seconds")) or 0),
        error=clean(error, redact) if error else None,
        extractor_code=_code(codes.get("extractors")),
        loader_code=_code(codes.get("loaders")),
    )


def _code(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _STATUS_LIMIT else None
