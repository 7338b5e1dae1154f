"""What the records that are out were read with; from a bookmark on, only what changes comes.

Where a run wants more than that (a field that was selected, or can be seen again; the recycle bin; an earlier
start_date), all records are read again, whole, behind the changes of that run: Salesforce moves no stamp for it. The
bookmark stays where it is. The stream's state holds:
  read_with      what every record before the bookmark was read with, as `Extent.text`
  read_of        the org it was read of, where that is known: of another one, everything would have to come
  filling        while all are read again: what they are read with
  filling_since  when that began
  filling_until  everything before is out, the next run goes on there if it wants the same
A state without `read_with`, of an older version, is taken for one that has all that is wanted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Self

from tap_salesforce import bookmarks
from tap_salesforce.bookmarks import Closed
from tap_salesforce.errors import ConfigError

_WITH, _OF = "read_with", "read_of"
_FILLING, _SINCE, _UNTIL = "filling", "filling_since", "filling_until"
_FILLS: Final = (_FILLING, _SINCE, _UNTIL)
_ALWAYS, _BIN, _LIVE = "always", "bin", "live"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """What a run reads of a stream.

    start:   what changed before is left out (None: nothing)
    deleted: whether records in the recycle bin come
    fields:  API names
    """

    start: datetime | None
    deleted: bool
    fields: frozenset[str]

    @property
    def text(self) -> str:
        """For the state: start, recycle bin, fields."""
        start = bookmarks.iso(self.start) if self.start else _ALWAYS
        return " ".join([start, _BIN if self.deleted else _LIVE, *sorted(self.fields)])

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Self | None:
        """What the stream's state says; None if it says nothing, ConfigError if that is unreadable."""
        text = state.get(_WITH)
        if text is None:
            return None
        start, _, rest = str(text).partition(" ")
        deleted, *fields = rest.split(" ")
        if deleted not in (_BIN, _LIVE):
            raise ConfigError(
                f"The state's {_WITH} is not what a stream was read with: {str(text)[:40]!r}.",
                hint="Reset the stream's state; it is then read from start_date again.",
            )
        since = None if start == _ALWAYS else bookmarks.time_of({_WITH: start}, _WITH)
        return cls(start=since, deleted=deleted == _BIN, fields=frozenset(fields))

    def lacks(self, wanted: Self) -> list[str]:
        """What more is wanted, for people; empty if nothing."""
        more = sorted(wanted.fields - self.fields)
        if wanted.deleted and not self.deleted:
            more.append("deleted records")
        if self.start is not None and (wanted.start is None or wanted.start < self.start):
            more.append(f"records from before {bookmarks.iso(self.start)}")
        return more

    def common(self, other: Self) -> Self:
        """What has come of all records, where some were read with the one and some with the other."""
        starts = [one.start for one in (self, other) if one.start is not None]
        fields, deleted = self.fields & other.fields, self.deleted and other.deleted
        return replace(self, start=max(starts, default=None), deleted=deleted, fields=fields)

    def on(self, closed: Closed, *, anew: bool, org: str | None = None) -> Closed:
        """The same, and that everything before the bookmark was read with this. anew: nothing else is known of it."""
        names = (*closed.instead_of, _WITH, *((_OF, *_FILLS) if anew else ()))
        known = {_OF: org} if org else {}
        return replace(closed, marks={**closed.marks, _WITH: self.text, **known}, instead_of=names)


def assert_same_org(state: Mapping[str, Any], org: str | None, stream: str) -> None:
    """ConfigError where the bookmark is another org's: what that one's clock says of this one's records is nothing."""
    before = state.get(_OF)
    if before and org and before != org:
        raise ConfigError(
            f"{stream} was read from the org {before} so far; this sign-in leads to the org {org}.",
            hint="Connect it as a source of its own. To go on here instead, empty the destination's tables, since rows"
            " of both orgs would be mixed, and read everything again by a full refresh.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """One reading of all records for what they lack.

    since: when it began
    lower: from where on records are still to be read (None: from the beginning)
    """

    wanted: Extent
    since: datetime
    lower: datetime | None

    def closed(self, upper: datetime) -> Closed:
        """Everything before `upper` is out, with more to come."""
        times = {_SINCE: bookmarks.iso(self.since), _UNTIL: bookmarks.iso(upper)}
        return Closed({_FILLING: self.wanted.text, **times}, _FILLS)

    def finished(self) -> Closed:
        """All is out."""
        return self.wanted.on(Closed({}, _FILLS), anew=False)


def filling(state: Mapping[str, Any], wanted: Extent, *, now: datetime) -> Filling:
    """A reading of all records, or the rest of one that was interrupted and wanted the same."""
    since, until = bookmarks.time_of(state, _SINCE), bookmarks.time_of(state, _UNTIL)
    if state.get(_FILLING) == wanted.text and since is not None and until is not None:
        return Filling(wanted=wanted, since=since, lower=until)
    return Filling(wanted=wanted, since=now, lower=wanted.start)
