"""Records removed for good: no query finds them, only Salesforce's log of deletions still names them.

source: REST guide, "sObject Get Deleted", and SOAP guide, "getDeleted()": seconds are ignored; the log reaches back
15 to 30 days, or less after a purge; `latestDateCovered` is where the next question must begin.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tap_salesforce import bookmarks, soql
from tap_salesforce.bookmarks import Closed
from tap_salesforce.client import Client
from tap_salesforce.errors import AccessError, AnswerError
from tap_salesforce.soql import Span

log = logging.getLogger("tap-salesforce")

MARK = "deleted_until"  # every deletion before is told
_MINUTE = timedelta(minutes=1)
_SPAN = timedelta(days=1)  # of one question, so that its ids fit into memory
_TOO_EARLY = "INVALID_REPLICATION_DATE"
_TOO_MANY = "EXCEEDED_ID_LIMIT"
_IDS_PER_QUERY = 500  # 27 characters each, in a URI of 16 k


@dataclass(frozen=True, slots=True)
class Removed:
    """Ids of records that are gone, each with the time of its deletion."""

    ids: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Answer:
    ids: dict[str, str]
    earliest: datetime  # what was deleted before is forgotten
    covered: datetime  # what was deleted later may be missing


def begun(now: datetime) -> Closed:
    """A first reading begins: what is deleted from now on is to be told."""
    return Closed({MARK: bookmarks.iso(now)}, (MARK,))


class Deletions:
    """The log of deletions of one object.

    rows: the rows that were read since, among them those of the recycle bin; None if the bin stays unread
    """

    def __init__(self, client: Client, name: str, *, rows: Span | None) -> None:
        self._client = client
        self._name = name
        self._rows = rows

    def steps(self, state: Mapping[str, Any], *, now: datetime) -> Iterator[Removed | Closed]:
        """What was deleted from the mark in the stream's state (without one: since Salesforce remembers) to `now`.

        To be asked when the rows are read: ids of records that exist (undeleted, say) are left out, and so are those
        in the recycle bin that came as rows. A log that does not reach back far enough, or is refused, is a warning:
        the records themselves are read all the same.
        """
        since, end = bookmarks.time_of(state, MARK), _minute(now)
        try:
            yield from self._steps(_minute(since) if since else self._beginning(end), end)
        except (AnswerError, AccessError) as refused:
            log.warning("Records of %s removed for good are not noticed: %s", self._name, refused.message)

    def _steps(self, start: datetime, end: datetime) -> Iterator[Removed | Closed]:
        span = _SPAN
        while start < end:
            until = min(start + span, end)
            try:
                answer = self._ask(start, until)
            except AnswerError as refused:
                if refused.code == _TOO_MANY and until - start > _MINUTE:
                    span = max(_MINUTE, (until - start) // _MINUTE // 2 * _MINUTE)
                elif refused.code == _TOO_EARLY and (earliest := self._earliest(end)) > start:
                    start = self._forgotten(start, earliest)
                else:
                    raise
                continue
            if answer.earliest >= start + 2 * _MINUTE:
                start = self._forgotten(start, _minute(answer.earliest))
                if start >= until:
                    continue
            yield from self._gone(list(answer.ids.items()))
            start = max(start, _minute(min(until, answer.covered)))
            yield Closed({MARK: bookmarks.iso(start)}, (MARK,))
            if start < until:
                return

    def _beginning(self, end: datetime) -> datetime:
        start = self._earliest(end)
        log.info(
            "Records of %s removed for good are noticed from %s on, as far back as Salesforce remembers.",
            self._name,
            bookmarks.iso(start),
        )
        return start

    def _ask(self, start: datetime, end: datetime) -> _Answer:
        said = self._client.json(
            "GET",
            f"sobjects/{soql.name(self._name)}/deleted/",
            params={"start": start.isoformat(), "end": end.isoformat()},
        )
        return _Answer(
            ids={str(one["id"]): str(one["deletedDate"]).replace("+0000", "Z") for one in said["deletedRecords"]},
            earliest=datetime.fromisoformat(said["earliestDateAvailable"]),
            covered=datetime.fromisoformat(said["latestDateCovered"]),
        )

    def _earliest(self, end: datetime) -> datetime:
        """From when on the log is whole; a minute later, since the log moves on while we ask."""
        return _minute(self._ask(end - _MINUTE, end).earliest) + 2 * _MINUTE

    def _forgotten(self, start: datetime, earliest: datetime) -> datetime:
        log.warning(
            "Salesforce has forgotten which records of %s were removed for good between %s and %s: they stay in the "
            "destination. Empty the table and read %s with a full refresh to be rid of them.",
            self._name,
            bookmarks.iso(start),
            bookmarks.iso(earliest),
            self._name,
        )
        return earliest

    def _gone(self, named: Sequence[tuple[str, str]]) -> Iterator[Removed]:
        for first in range(0, len(named), _IDS_PER_QUERY):
            some = dict(named[first : first + _IDS_PER_QUERY])
            gone = some.keys() - self._told(some)
            if gone:
                yield Removed({name: when for name, when in some.items() if name in gone})

    def _told(self, ids: Mapping[str, str]) -> set[str]:
        """Those that exist, or lie in the recycle bin and came as rows."""
        rows = self._rows
        query = soql.select_ids(self._name, ids, ("IsDeleted", rows.key) if rows else ())
        found = self._client.json("GET", "queryAll" if rows else "query", params={"q": query})["records"]
        return {str(one["Id"]) for one in found if rows is None or not one["IsDeleted"] or _is_within(one, rows)}


def _is_within(record: Mapping[str, Any], rows: Span) -> bool:
    return rows.lower is None or datetime.fromisoformat(str(record[rows.key])) >= rows.lower


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)
