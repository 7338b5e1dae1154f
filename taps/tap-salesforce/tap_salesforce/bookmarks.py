"""Where an incremental extraction begins and what is remembered of it: pure decisions.

A bookmark is the upper bound of the last closed window, never "the last row seen" (rows are not ordered):
  {"replication_key": "SystemModstamp", "replication_key_value": "2026-11-21T08:00:00Z"}
While an extraction is under way it also holds `unfinished_since`, the time it began: the next run then goes
on exactly there, without look-back. A finished extraction is followed by one that begins a look-back
earlier, for records that were committed late. If a resumed extraction had read young records before it was
interrupted, `reread_from` says from when on the next run looks back.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tap_salesforce.errors import ConfigError

MARKS = ("replication_key", "replication_key_value", "unfinished_since", "reread_from")


@dataclass(frozen=True, slots=True)
class Closed:
    """What a stream's state holds from now on: `marks`, in the place of all those named by `instead_of`.

    at_once: whether it is worth a STATE message of its own; otherwise the next one says it
    """

    marks: Mapping[str, str]
    instead_of: tuple[str, ...] = MARKS
    at_once: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """One pass over a stream.

    lower: from when on records are read (None: from the beginning)
    since: when the oldest part of what is already read, and may still gain late records, was read
    upper: when this pass began, by Salesforce's clock
    first: nothing was read before, as far as the state knows
    """

    key: str
    lower: datetime | None
    since: datetime
    upper: datetime
    first: bool = False

    def closed(self, upper: datetime) -> Closed:
        """The bookmark once everything before `upper` is out, with more to come."""
        return Closed({**self._at(upper), "unfinished_since": iso(self.since)})

    def finished(self) -> Closed:
        """The bookmark once all is out."""
        late = {"reread_from": iso(self.since)} if self.since < self.upper else {}
        return Closed({**self._at(self.upper), **late})

    def _at(self, moment: datetime) -> dict[str, str]:
        return {"replication_key": self.key, "replication_key_value": iso(moment)}


def begin(
    state: Mapping[str, Any], key: str, *, start: datetime | None, lookback: timedelta, now: datetime
) -> Extraction:
    """Read the stream's state; ConfigError if its times are unreadable."""
    value = time_of(state, "replication_key_value") if state.get("replication_key") == key else None
    if value is None:
        return Extraction(key=key, lower=start, since=now, upper=now, first=True)
    now = max(now, value)  # a bookmark never goes back, even if Salesforce's clock does
    unfinished = time_of(state, "unfinished_since")
    if unfinished is not None:
        since = unfinished if value > unfinished - lookback else now
        return Extraction(key=key, lower=_later(value, start), since=min(since, now), upper=now)
    young = time_of(state, "reread_from")
    lower = min(value, young or value) - lookback
    return Extraction(key=key, lower=_later(lower, start), since=now, upper=now)


def iso(moment: datetime) -> str:
    """UTC, whole seconds, as Salesforce's stamps are."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _later(value: datetime, start: datetime | None) -> datetime:
    return max(value, start) if start else value


def time_of(state: Mapping[str, Any], name: str) -> datetime | None:
    """A time in a stream's state, aware, UTC; None if absent, ConfigError if unreadable."""
    text = state.get(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError as wrong:
        raise ConfigError(
            f"The state's {name} is not a time: {str(text)[:40]!r}.",
            hint="Reset the stream's state; it is then read from start_date again.",
        ) from wrong
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
