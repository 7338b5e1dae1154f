"""Formula fields go stale: when only a formula's result changes, Salesforce does not move the record's stamp.

So all records are read again from time to time, whole, since a part of a record would empty the rest of its row. The
bookmark stays where it is. The stream's state holds:
  formulas_read_at     when the last reading of all records began
  formulas_read_until  while one is under way: everything before is out, the next run goes on there
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from tap_salesforce import bookmarks
from tap_salesforce.bookmarks import Closed

EVERY = {"never": None, "daily": 1, "weekly": 7, "every_run": 0}  # days
_AT, _UNTIL = "formulas_read_at", "formulas_read_until"
_MARKS = (_AT, _UNTIL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rereading:
    """One reading of all records.

    since: when it began
    lower: from where on records are still to be read (None: from the beginning)
    """

    since: datetime
    lower: datetime | None

    def closed(self, upper: datetime) -> Closed:
        """Everything before `upper` is out, with more to come."""
        return Closed({_AT: bookmarks.iso(self.since), _UNTIL: bookmarks.iso(upper)}, _MARKS)

    def finished(self) -> Closed:
        """All is out."""
        return Closed({_AT: bookmarks.iso(self.since)}, _MARKS)


def begun(now: datetime) -> Closed:
    """A first reading begins, of all records: formulas are as fresh as it is."""
    return replace(Rereading(since=now, lower=None).finished(), at_once=False)


def due(state: Mapping[str, Any], policy: str, *, start: datetime | None, now: datetime) -> Rereading | None:
    """The reading to do now, perhaps the rest of one; None if none is due.

    Days are those of UTC, so that a run at the same time each day is never a second too early.
    """
    days = EVERY[policy]
    if days is None:
        return None
    last, until = bookmarks.time_of(state, _AT), bookmarks.time_of(state, _UNTIL)
    if last is not None and until is not None:
        return Rereading(since=last, lower=max(until, start) if start else until)
    if last is None or (now.date() - last.date()).days >= days:
        return Rereading(since=now, lower=start)
    return None
