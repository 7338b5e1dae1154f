"""What a run reads of a stream that has a bookmark: what changed, what was removed, and perhaps all of it once more."""

import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tap_salesforce import bookmarks, deletions, extents, formulas
from tap_salesforce.bookmarks import Closed, Extraction
from tap_salesforce.deletions import Deletions, Removed
from tap_salesforce.discovery import DELETED_AT, SalesforceObject
from tap_salesforce.extents import Extent, Filling
from tap_salesforce.fetching import Fetching
from tap_salesforce.formulas import Rereading
from tap_salesforce.pagefiles import PageFile
from tap_salesforce.reading import Reading, Rows
from tap_salesforce.soql import Span
from tap_salesforce.windows import Window

if TYPE_CHECKING:
    from tap_salesforce.tap import Org

log = logging.getLogger("tap-salesforce")

Step = Rows | PageFile | Removed | Closed


class Incremental:
    """One run's reading of one object.

    key:      the field whose times the bookmark holds
    selected: properties that are wanted
    fields:   what is queried for them
    plain:    whether records are written as they are read
    """

    def __init__(
        self,
        org: "Org",
        described: SalesforceObject,
        key: str,
        *,
        selected: Collection[str],
        fields: Collection[str],
        plain: bool,
    ) -> None:
        self._org = org
        self._described = described
        self._name = described.name
        self._key = key
        self._selected = selected
        deleted = org.settings.include_deleted and described.deleted_stamp is not None
        self._wanted = Extent(start=org.settings.start, deleted=deleted, fields=frozenset(fields))
        self._plain = plain

    def steps(self, reader: Reading | Fetching, state: Mapping[str, Any]) -> Iterator[Step]:
        """Rows (or pages of them), tombstones and closed windows, in order. state: the stream's, as it is kept up."""
        settings, now = self._org.settings, self._org.client.server_time()
        if settings.end is not None:
            yield from self._bounded(reader, state, min(settings.end, now))
            return
        pass_ = bookmarks.begin(state, self._key, start=settings.start, lookback=settings.lookback, now=now)
        log.info(
            "Reading %s changed since %s.", self._name, bookmarks.iso(pass_.lower) if pass_.lower else "the beginning"
        )
        if pass_.first:
            yield from self._begun(state, pass_.upper)
        known = self._known(state, pass_)
        yield from self._windows(reader, pass_, pass_.upper, known=known)
        yield from self._removed(state, pass_)
        if lacking := known.lacks(self._wanted):
            yield from self._fill(reader, state, pass_.upper, lacking)
        elif not pass_.first:
            yield from self._reread(reader, state, pass_.upper)

    def _bounded(self, reader: Reading | Fetching, state: Mapping[str, Any], end: datetime) -> Iterator[Step]:
        """What changed up to `end`, once, and nothing else; a reading that was interrupted goes on where it was."""
        start = self._org.settings.start
        pass_ = bookmarks.begin(state, self._key, start=start, lookback=timedelta(0), now=end)
        if pass_.lower is not None and pass_.lower >= end:
            log.info("%s is read up to %s already.", self._name, bookmarks.iso(end))
            return
        since = bookmarks.iso(pass_.lower) if pass_.lower else "the beginning"
        log.info("Reading %s changed since %s and before %s.", self._name, since, bookmarks.iso(end))
        yield from self._windows(reader, pass_, end, known=self._known(state, pass_))

    def _begun(self, state: Mapping[str, Any], now: datetime) -> Iterator[Closed]:
        """What to remember of a first reading's beginning.

        Of deletions before any row is out: the reading may end before its first bookmark, and begin anew.
        """
        if self._described.log_of_deletions and deletions.MARK not in state:
            yield deletions.begun(now)
        if self._formulas():
            yield formulas.begun(now)

    def _known(self, state: Mapping[str, Any], pass_: Extraction) -> Extent:
        """What everything before the bookmark was read with, once this run's changes are out.

        Raises ConfigError where that was read of another org.
        """
        if pass_.first:
            return self._wanted
        extents.assert_same_org(state, self._org.client.org(), self._name)
        before = Extent.of(state)
        if before is None:
            return self._wanted
        start = self._wanted.start
        cuts = start is not None and pass_.lower is not None and pass_.lower <= start  # else it is over long ago
        return before.common(self._wanted if cuts else replace(self._wanted, start=before.start))

    def _windows(
        self,
        reader: Reading | Fetching,
        pass_: Extraction | Rereading | Filling,
        upper: datetime,
        *,
        known: Extent | None = None,
    ) -> Iterator[Rows | PageFile | Closed]:
        for step in reader.steps(reader.plan(self._key, pass_.lower, upper)):
            if isinstance(step, Window):
                closed = pass_.finished() if step.closes >= upper else pass_.closed(step.closes)
                first = isinstance(pass_, Extraction) and pass_.first
                yield known.on(closed, anew=first, org=self._org.client.org()) if known else closed
            else:
                yield step

    def _removed(self, state: Mapping[str, Any], pass_: Extraction) -> Iterator[Removed | Closed]:
        """What Salesforce's log of deletions names; behind the windows, which bring what is in the recycle bin."""
        if not self._described.log_of_deletions:
            return
        if not self._plain or DELETED_AT not in self._selected:
            log.warning(
                "Records of %s removed for good are not noticed: stream maps are in use, or the catalog is older "
                "than the setting hard_deletes.",
                self._name,
            )
            return
        binned = self._org.settings.include_deleted and self._described.deleted_stamp is not None
        rows = Span(self._key, pass_.lower, None) if binned else None
        yield from Deletions(self._org.client, self._name, rows=rows).steps(state, now=pass_.upper)

    def _fill(
        self, reader: Reading | Fetching, state: Mapping[str, Any], now: datetime, lacking: Collection[str]
    ) -> Iterator[Step]:
        """All records once more, for what earlier runs did not read; formulas are then as fresh as that."""
        reading = extents.filling(state, self._wanted, now=now)
        log.info("All records of %s are read again: earlier runs did not read %s.", self._name, ", ".join(lacking))
        yield from self._windows(reader, reading, now)
        if self._formulas():
            yield formulas.begun(reading.since)

    def _formulas(self) -> list[str]:
        """The selected formula fields, unless they are never to be read again."""
        if self._org.settings.formula_refresh == "never":
            return []
        return sorted(self._described.formulas.intersection(self._selected))

    def _reread(self, reader: Reading | Fetching, state: Mapping[str, Any], now: datetime) -> Iterator[Step]:
        """All records once more, where it is time for that."""
        settings, client, names = self._org.settings, self._org.client, self._formulas()
        rereading = formulas.due(state, settings.formula_refresh, start=settings.start, now=now)
        if not names or rereading is None:
            return
        log.info("All records of %s are read again for %s (formula_refresh).", self._name, ", ".join(names))
        made = client.requests_made
        yield from self._windows(reader, rereading, now)
        log.info("Reading all of %s again took %d API requests.", self._name, client.requests_made - made)
