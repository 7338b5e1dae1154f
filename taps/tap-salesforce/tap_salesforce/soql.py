"""SOQL text. Names come from describe answers only and are checked once more before they are written."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote_plus

from tap_salesforce.errors import ConfigError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_ID = re.compile(r"[0-9A-Za-z]{15}(?:[0-9A-Za-z]{3})?")
LONGEST_BULK = 100_000  # source: SOQL guide, "SOQL and SOSL Limits": characters of a statement
LONGEST_REST = 15_000  # the query travels in the URI: source: REST guide, URI length 16,384 bytes


@dataclass(frozen=True, slots=True)
class Span:
    """Part of time [lower, upper) of a replication key; None is unbounded. Whole seconds, UTC."""

    key: str
    lower: datetime | None
    upper: datetime | None

    def conditions(self) -> list[str]:
        """What of a row's key has to be true."""
        parts = []
        if self.lower is not None:
            parts.append(f"{name(self.key)} >= {literal(self.lower)}")
        if self.upper is not None:
            parts.append(f"{name(self.key)} < {literal(self.upper)}")
        return parts


def select(
    fields: Iterable[str], stream: str, span: Span | None, *, live: bool = False, limit: int | None = None
) -> str:
    """SELECT the fields of a stream, within a span. live: without what is in the recycle bin."""
    where = _where(span, live=live)
    tail = f" LIMIT {limit:d}" if limit else ""
    return f"SELECT {','.join(map(name, fields))} FROM {name(stream)}{where}{tail}"  # noqa: S608 - names are checked


def length_in_uri(query: str) -> int:
    """How long a query is in the URI of a REST request."""
    return len(quote_plus(query))


def count(stream: str, span: Span, *, live: bool = False) -> str:
    """How many rows a span holds. live: as for `select`."""
    return f"SELECT COUNT() FROM {name(stream)}{_where(span, live=live)}"  # noqa: S608 - names are checked


def _where(span: Span | None, *, live: bool) -> str:
    """The condition, with a leading space, or ''."""
    parts = [*(span.conditions() if span else ()), *(["IsDeleted = false"] if live else ())]
    return " WHERE " + " AND ".join(parts) if parts else ""


def select_ids(stream: str, ids: Iterable[str], fields: Iterable[str] = ()) -> str:
    """SELECT those of the ids that exist, and these fields of them."""
    listed = ", ".join(f"'{_id(one)}'" for one in ids)
    return f"{select(dict.fromkeys(['Id', *fields]), stream, None)} WHERE Id IN ({listed})"


def name(text: str) -> str:
    """The API name itself; anything else is refused, so that no catalog can inject SOQL."""
    if not _NAME.fullmatch(text):
        raise ConfigError(f"{text!r} is not a Salesforce API name.", hint="Run discovery again and use its catalog.")
    return text


def _id(text: str) -> str:
    if not _ID.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is not a Salesforce id")
    return text


def literal(moment: datetime) -> str:
    """A dateTime literal, unquoted. source: SOQL guide, "Date Formats and Date Literals"."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
