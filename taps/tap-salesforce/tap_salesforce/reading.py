"""Reads one object in windows: Bulk jobs of the next windows run ahead, and REST reads what Bulk does not serve."""

import logging
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, nullcontext
from datetime import datetime
from itertools import chain, islice
from typing import TYPE_CHECKING, Self

from tap_salesforce import soql, windows
from tap_salesforce.bulk import Job, RefusedError
from tap_salesforce.exclusions import NOT_IN_BULK
from tap_salesforce.windows import Window

if TYPE_CHECKING:
    from tap_salesforce.tap import Org

log = logging.getLogger("tap-salesforce")

_JOBS_AHEAD = 4  # Bulk jobs under way at once, the one being read included

Rows = Sequence[Sequence[str | None]]


class Reading:
    """One object and the fields that are read of it. A window that is None is all of time.

    live: what is in the recycle bin is left out
    """

    def __init__(self, org: "Org", name: str, fields: Sequence[str], *, live: bool) -> None:
        self.name = name
        self.fields = fields
        self._job_fields = fields
        self.org = org
        self._live = live
        self.by_rest = not org.settings.bulk or name in NOT_IN_BULK

    def for_files(self) -> Self:
        """The same, with jobs whose columns are in an order that lets rows be counted without parsing them."""
        first = [name for name in ("IsDeleted", "Id") if name in self.fields]
        self._job_fields = [*first, *(name for name in self.fields if name not in first)]
        return self

    def plan(
        self, key: str, lower: datetime | None, upper: datetime, *, size: int = 0, most: int = windows.MOST_WINDOWS
    ) -> Iterator[Window]:
        """Windows of about so many rows as the setting says; of `size` rows, if that is more, but for the first."""
        wished = self.org.settings.window_rows

        def count(lower: datetime | None, upper: datetime | None) -> int | None:
            return self.org.rest.count(soql.count(self.name, soql.Span(key, lower, upper), live=self._live))

        size = max(size, wished)
        open_end = self.org.settings.end is None
        return windows.plan(key, lower, upper, size=size, first_size=wished, most=most, count=count, open_end=open_end)

    def steps(self, planned: Iterable[Window | None]) -> Iterator[Rows | Window]:
        """Rows of each window, followed by the window itself."""
        with closing(self.jobs(planned)) as ahead:
            for window, job in ahead:
                with job or nullcontext():
                    yield from self._rows(window, job)
                if window is not None:
                    yield window

    def jobs(self, planned: Iterable[Window | None]) -> Generator[tuple[Window | None, Job | None]]:
        """Each window with its Bulk job, or None if it is for REST or empty; the jobs after it are under way."""
        ahead = min(self.org.settings.max_workers, _JOBS_AHEAD)
        queue: deque[tuple[Window | None, Job | None]] = deque()
        todo = iter(planned)
        try:
            while True:
                queue.extend((coming, self._job(coming)) for coming in islice(todo, ahead - len(queue)))
                if not queue:
                    return
                yield queue.popleft()
        finally:
            for _, job in queue:
                if job is not None:
                    job.discard()

    def rest(self, window: Window | None) -> Iterator[Rows]:
        """The window's rows by REST."""
        if window is not None and window.rows == 0:
            return
        for page in self.org.rest.pages(self._query(window, self.fields), self.fields):
            if page:
                yield page

    def first(self, rows: int) -> Iterator[Rows]:
        """Any so many rows; by REST, which is quicker, if it takes the query."""
        query = soql.select(self.fields, self.name, None, live=self._live, limit=rows)
        if self.by_rest or soql.length_in_uri(query) <= soql.LONGEST_REST:
            yield from self.org.rest.pages(query, self.fields)
        else:
            with self.org.bulk.start(query, self.fields) as job:
                yield from job.pages()

    def use_rest(self, refused: RefusedError) -> None:
        """From now on all is read by REST."""
        if not self.by_rest:
            log.info("The Bulk API does not serve %s (%s); it is read by REST.", self.name, refused)
        self.by_rest = True

    def _job(self, window: Window | None) -> Job | None:
        query = self._query(window, self._job_fields)
        small = window is not None and window.rows is not None and window.rows <= self.org.settings.rest_below_rows
        empty = window is not None and window.rows == 0
        if self.by_rest or empty or (small and soql.length_in_uri(query) <= soql.LONGEST_REST):
            return None
        try:
            return self.org.bulk.start(query, self._job_fields)
        except RefusedError as refused:
            self.use_rest(refused)
            return None

    def _rows(self, window: Window | None, job: Job | None) -> Iterator[Rows]:
        if job is not None:
            pages = job.pages()
            try:
                first = next(pages, None)
            except RefusedError as refused:
                self.use_rest(refused)
            else:
                yield from chain([first] if first else [], pages)
                return
        yield from self.rest(window)

    def _query(self, window: Window | None, fields: Sequence[str]) -> str:
        return soql.select(fields, self.name, window.span if window else None, live=self._live)
