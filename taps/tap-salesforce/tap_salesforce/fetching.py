"""Brings the result pages of one object into files: several at once, handed on in order.

One thread walks through the windows: it starts Bulk jobs ahead, waits for them and begins downloads as the folder has
room. The main thread hands on what is there, so that jobs, downloads and loading overlap. Room is given in the order of
the pages; what waits for its turn therefore never keeps an earlier page out.
"""

import logging
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import monotonic

from tap_salesforce.ahead import Ahead, begun
from tap_salesforce.batchfolder import BatchFolder
from tap_salesforce.bulk import Job, RefusedError
from tap_salesforce.errors import LoaderGoneError
from tap_salesforce.pagefiles import GivenUpError, PageDownload, PageFile, RowSizes
from tap_salesforce.pages import NO_MORE, Address, Trail
from tap_salesforce.reading import Reading, Rows
from tap_salesforce.windows import Window

log = logging.getLogger("tap-salesforce")

LONGEST_WAIT = 3600.0  # seconds in which the loader has removed nothing
_LOOK_EVERY = 0.02  # seconds
_SAY_AFTER = 30.0  # seconds
_MOST_WINDOWS = 400  # of larger streams each holds several pages
_WINDOWS_AHEAD = 32  # pages and windows that are known of, but not handed on


@dataclass(frozen=True, slots=True)
class _ByRest:
    window: Window | None


@dataclass(frozen=True, slots=True)
class _AllBegun:
    """Every page of the job is under way, or only the first and the others follow from it."""

    window: Window | None
    job: Job
    promised: int


_Item = Future[PageFile] | _ByRest | _AllBegun


class Fetching:
    """The windows of one object as files.

    loader_gone: tells whether nobody reads our messages any more
    """

    def __init__(self, reading: Reading, folder: BatchFolder, loader_gone: Callable[[], bool]) -> None:
        self._reading = reading
        self._folder = folder
        self._loader_gone = loader_gone
        self._sizes = RowSizes()
        self._over = threading.Event()
        self._free = threading.Semaphore(reading.org.settings.max_workers)
        self._client = reading.org.client

    def plan(self, key: str, lower: datetime | None, upper: datetime) -> Iterator[Window]:
        """Windows of about a page, so that a run that was killed goes on behind its last page."""
        size = self._reading.org.settings.bulk_page_rows
        return self._reading.plan(key, lower, upper, size=size, most=_MOST_WINDOWS)

    def steps(self, planned: Iterable[Window | None]) -> Iterator[PageFile | Rows | Window]:
        """Pages of each window (rows, where REST reads it), followed by the window itself."""
        self._over = threading.Event()  # of this walk: the one before it, if any, is over
        ahead = Ahead(self._walk(planned), self._over, most=_WINDOWS_AHEAD, name=f"fetch {self._reading.name}")
        try:
            with closing(iter(ahead)) as items:
                yield from self._handed_on(items)
        finally:
            self._reading.org.bulk.discard_all()

    def _handed_on(self, items: Iterator[_Item]) -> Iterator[PageFile | Rows | Window]:
        seen, locator = 0, NO_MORE
        for item in items:
            if isinstance(item, _ByRest):
                yield from self._reading.rest(item.window)
                if item.window is not None:
                    yield item.window
            elif isinstance(item, _AllBegun):
                for page in self._rest_of(item.job, locator):
                    seen += page.rows
                    yield page
                item.job.check(seen, item.promised)
                seen, locator = 0, NO_MORE
                if item.window is not None:
                    yield item.window
                item.job.discard()
            else:
                page = item.result()
                seen, locator = seen + page.rows, page.next_locator
                yield page

    def _walk(self, planned: Iterable[Window | None]) -> Generator[_Item]:
        jobs = self._reading.jobs(planned)
        try:
            for window, job in jobs:
                if job is None:
                    yield _ByRest(window)
                    continue
                try:
                    promised = job.finished()
                except RefusedError as refused:
                    self._reading.use_rest(refused)
                    job.discard()
                    yield _ByRest(window)
                    continue
                for address in job.addresses(promised):
                    yield self._begun(address)
                yield _AllBegun(window, job, promised)
        finally:
            jobs.close()

    def _begun(self, address: Address) -> Future[PageFile]:
        path = self._room()
        while not self._free.acquire(timeout=_LOOK_EVERY):
            self._unless_over()

        def download() -> PageFile:
            try:
                return self._download(address, path)
            finally:
                self._free.release()

        return begun(download, name=path.name)

    def _rest_of(self, job: Job, locator: str) -> Iterator[PageFile]:
        """The pages behind the last one begun, where Salesforce sent fewer rows than asked for or lists no pages."""
        trail = Trail()
        while locator != NO_MORE:
            page = self._download(job.address(trail.go(locator)), self._room(overdraw=True))
            locator = page.next_locator
            yield page

    def _download(self, address: Address, path: Path) -> PageFile:
        fields, folder, sizes = self._reading.fields, self._folder, self._sizes
        return PageDownload(self._client, address, fields=fields, folder=folder, sizes=sizes, over=self._over).to(path)

    def _room(self, *, overdraw: bool = False) -> Path:
        """A name for a file, as soon as there is room. LoaderGoneError if the loader does not make any."""
        began, said = monotonic(), False
        while (path := self._folder.reserve(self._reading.name, overdraw=overdraw)) is None:
            waited = monotonic() - began
            if self._loader_gone() or waited > LONGEST_WAIT:
                raise LoaderGoneError(
                    "The loader does not remove the batch files it was given.", hint="See the loader's own message."
                )
            if waited > _SAY_AFTER and not said:
                log.info("Waiting for the loader to remove batch files.")
                said = True
            self._unless_over(_LOOK_EVERY)
        return path

    def _unless_over(self, wait: float = 0.0) -> None:
        if self._over.wait(wait):
            raise GivenUpError
