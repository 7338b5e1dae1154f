"""Read what Meltano and its plugins say: one line of output in, one typed value out.

Meltano logs JSON on stderr. `read` is total: whatever is no log of Meltano's becomes a LogLine with the text as it
came, without control characters and not longer than MESSAGE_LIMIT.

source: Meltano 4.4: cli/run.py ("Block run completed"), core/block/extract_load.py; singer_sdk.metrics
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

MESSAGE_LIMIT: Final = 16 * 1024  # characters
_TAGS_LIMIT = 32
_METRIC = "METRIC: "
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
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


def clean(text: str) -> str:
    """The text without ANSI sequences and control characters (newline and tab stay), cut at MESSAGE_LIMIT."""
    plain = _CONTROL.sub("", _ANSI.sub("", text)).rstrip()
    if len(plain) <= MESSAGE_LIMIT:
        return plain
    return f"{plain[:MESSAGE_LIMIT]}… [{len(plain) - MESSAGE_LIMIT:,} characters cut]"


def read(
    line: bytes, *, redact: Redact = str, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Output | None:
    """One line of Meltano's stderr; None where it is empty. Every text is redacted before anything else is done."""
    text = line.decode("utf-8", errors="replace").strip()
    if not text:
        return None
    fields = _fields(text)
    if fields is None:
        return _plain(redact(text), Source.MELTANO, now())
    at = _time(fields.get("timestamp")) or now()
    event = str(fields["event"])
    if event == "Block run completed" and "success" in fields:
        return _block(fields, at, redact)
    source = _source(fields)
    return _metric(fields, redact(event), source, at) or _log(fields, event, source, at, redact)


def _fields(text: str) -> dict[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and "event" in found else None


def _time(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo else None


def _source(fields: Mapping[str, Any]) -> Source:
    """Meltano binds producer/consumer in a run; under `invoke` only the logger's name tells."""
    if fields.get("producer") is True:
        return Source.TAP
    if fields.get("consumer") is True:
        return Source.TARGET
    logger = str(fields.get("_logger", ""))
    if ".extractors." in logger:
        return Source.TAP
    return Source.TARGET if ".loaders." in logger else Source.MELTANO


def _level(value: Any) -> Level:
    name = str(value).lower()
    return {"warn": Level.WARNING, "fatal": Level.CRITICAL}.get(name) or (
        Level(name) if name in Level.__members__.values() else Level.INFO
    )


def _plain(text: str, source: Source, at: datetime) -> LogLine:
    """A line without structure; its level is the word it begins with, as Singer's loggers write it."""
    text = _CONSOLE.sub("", text)
    found = _PREFIX.match(text)
    return LogLine(at=at, source=source, level=_level(found[1]) if found else Level.INFO, message=clean(text))


def _log(fields: Mapping[str, Any], event: str, source: Source, at: datetime, redact: Redact) -> LogLine:
    message = redact(event)
    if source is not Source.MELTANO and _level(fields.get("level")) is Level.INFO:
        said = _PREFIX.match(message)
        level = _level(said[1]) if said else Level.INFO
    else:
        level = _level(fields.get("level"))
    exception = fields.get("plugin_exception") or fields.get("exception")
    reason = redact(_reason(exception))
    if reason and (reason.partition(": ")[2] or reason) not in message:
        message = f"{message}: {reason}".removeprefix(": ")
    stream = fields.get("stream_name")
    return LogLine(
        at=at,
        source=source,
        level=level,
        message=clean(message),
        stream=clean(stream) if isinstance(stream, str) else None,
    )


def _reason(exception: Any) -> str:
    """The last exception of a chain as "Type: text"; empty where there is none."""
    if isinstance(exception, list) and exception and isinstance(exception[0], dict):
        return f"{exception[0].get('exc_type', '')}: {exception[0].get('exc_value', '')}".strip(": ")
    if isinstance(exception, dict):
        return f"{exception.get('type', '')}: {exception.get('message', '')}".strip(": ")
    return ""


def _metric(fields: Mapping[str, Any], event: str, source: Source, at: datetime) -> Metric | None:
    found = fields.get("metric_info")
    if not isinstance(found, dict):
        start = event.find(_METRIC)
        if start < 0:
            return None
        try:
            found = json.loads(event[start + len(_METRIC) :])
        except (ValueError, RecursionError):
            return None
    return _measured(found, source, at) if isinstance(found, dict) else None


def _measured(found: Mapping[str, Any], source: Source, at: datetime) -> Metric | None:
    value, name, tags = found.get("value"), found.get("metric"), found.get("tags")
    if isinstance(value, bool) or not isinstance(value, int | float) or not isinstance(name, str):
        return None
    tags = tags if isinstance(tags, dict) else {}
    stream = tags.get("stream", tags.get("endpoint") if name == "record_count" else None)
    kept = {
        clean(str(key)): item for key, item in list(tags.items())[:_TAGS_LIMIT] if isinstance(item, str | int | float)
    }
    return Metric(
        at=at,
        source=source,
        name=name,
        kind=str(found.get("metric_type", found.get("type", ""))),
        value=value,
        stream=str(stream) if stream is not None else None,
        tags=kept,
    )


def _block(fields: Mapping[str, Any], at: datetime, redact: Redact) -> BlockCompleted:
    codes = fields.get("exit_codes")
    codes = codes if isinstance(codes, dict) else {}
    seconds, error = fields.get("duration_seconds"), fields.get("err")
    return BlockCompleted(
        at=at,
        success=fields.get("success") is True,
        seconds=float(seconds) if isinstance(seconds, int | float) else 0.0,
        error=clean(redact(str(error))) if error else None,
        extractor_code=_code(codes.get("extractors")),
        loader_code=_code(codes.get("loaders")),
    )


def _code(value: Any) -> int | None:
    return value if isinstance(value, int) else None
