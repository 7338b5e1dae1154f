"""Result pages as files: the bytes as they come from Salesforce, never parsed.

A loader unpacks and counts every page anyway, and refuses one that has other than the announced rows. To find a spoilt
page here, where it can be fetched again at once, it need not be unpacked twice: a gzip stream ends with the size of its
content, and pages of one query have about the same size per row. What is not as expected, and every small page, is
looked through.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from time import monotonic
from typing import IO

import requests

from tap_salesforce import counting
from tap_salesforce.batchfolder import BatchFolder
from tap_salesforce.client import Client
from tap_salesforce.counting import PageError, RowCounter
from tap_salesforce.inflating import PIECE, deflater, inflated
from tap_salesforce.pages import NO_MORE, SPOILT, Address, opened, spoilt
from tap_salesforce.settings import MEGABYTE

_SIZE = 4  # bytes at the end of a gzip stream that tell its content's size; source: RFC 1952, ISIZE
_MANY_ROWS = 5_000
_NEAR = 0.05
_SAY_EVERY = 30.0  # seconds

log = logging.getLogger("tap-salesforce")


class GivenUpError(Exception):
    """Nobody waits for the page any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFile:
    """A whole page in a file of its own.

    extracted:     when it was asked for
    next_locator:  of the page behind it
    """

    path: Path
    rows: int
    extracted: datetime
    next_locator: str


class RowSizes:
    """What a row of one object's pages takes, unpacked; learnt from pages that were looked through."""

    def __init__(self) -> None:
        self._bytes_per_row = 0.0

    def learn(self, rows: int, size: int) -> None:
        """A whole page had so many rows and bytes."""
        if rows >= _MANY_ROWS:
            self._bytes_per_row = size / rows

    def expect(self, rows: int, size: int) -> bool:
        """Whether so many rows take about so many bytes; False for few rows, and as long as nothing is known."""
        if rows < _MANY_ROWS or not self._bytes_per_row:
            return False
        return abs(size / (rows * self._bytes_per_row) - 1) < _NEAR


class PageDownload:
    """Brings one page into a file, and again when it comes spoilt.

    over: set when it is not wanted any more
    """

    def __init__(
        self,
        client: Client,
        address: Address,
        *,
        fields: Sequence[str],
        folder: BatchFolder,
        sizes: RowSizes,
        over: Event,
    ) -> None:
        self._client = client
        self._address = address
        self._fields = frozenset(fields)
        self._folder = folder
        self._sizes = sizes
        self._over = over
        self._size_without_line_end = -1

    def to(self, path: Path) -> PageFile:
        """Download to a name the folder has reserved. ShortResultError if the page stays spoilt."""
        for attempt in self._client.backoff.attempts():
            try:
                return self._once(path)
            except SPOILT as why:
                attempt.failed(spoilt(why))
        raise AssertionError("attempts() ends by raising")

    def _once(self, path: Path) -> PageFile:
        extracted = datetime.now(UTC)
        with opened(self._client, self._address) as reply, self._folder.written(path) as file:
            return PageFile(
                path=path,
                rows=self._copied(reply, file),
                extracted=extracted,
                next_locator=reply.headers.get("Sforce-Locator") or NO_MORE,
            )

    def _copied(self, reply: requests.Response, file: IO[bytes]) -> int:
        """Copy the body into the file, untouched if it comes as the file is to be; how many rows there are."""
        packed = reply.headers.get("Content-Encoding", "").lower() == "gzip"
        if not (packed and self._folder.zipped):
            return self._checked(reply, self._repacked(reply, file, packed=packed), file)
        start = end = b""
        for piece in self._raw(reply):
            file.write(piece)
            start, end = start or piece, (end + piece)[-_SIZE:]
        announced = reply.headers.get("Sforce-NumberOfRecords", "")
        if announced.isdigit() and self._sizes.expect(int(announced), int.from_bytes(end, "little")):
            self._check_header(next(inflated([start])))
            return int(announced)
        file.flush()
        return self._checked(reply, _looked_through(Path(file.name)), file)

    def _repacked(self, reply: requests.Response, file: IO[bytes], *, packed: bool) -> RowCounter:
        counter = RowCounter()
        squeeze = deflater() if self._folder.zipped else None
        for piece in inflated(self._raw(reply)) if packed else self._raw(reply):
            counter.feed(piece)
            file.write(squeeze.compress(piece) if squeeze else piece)
        if squeeze:
            file.write(squeeze.flush())
        return counter

    def _raw(self, reply: requests.Response) -> Iterator[bytes]:
        size, said = 0, monotonic()
        while piece := reply.raw.read(PIECE, decode_content=False):
            if self._over.is_set():
                raise GivenUpError
            size += len(piece)
            if monotonic() - said > _SAY_EVERY:  # whoever watches counts must not take a slow page for a standstill
                log.info("A result page is being downloaded: %.1f MB so far.", size / MEGABYTE)
                said = monotonic()
            yield piece

    def _checked(self, reply: requests.Response, counter: RowCounter, file: IO[bytes]) -> int:
        """The rows of a page that is whole: as many as announced, and the last of them ends.

        A page that twice has the same size and number of rows, but no final line end, is how it is.
        """
        self._check_header(counter.head)
        announced = reply.headers.get("Sforce-NumberOfRecords", "")
        rows = counter.rows
        if str(rows) != announced or not counter.ends_well():
            file.flush()
            rows = counting.count_slowly(Path(file.name), zipped=self._folder.zipped)
            if announced.isdigit() and int(announced) != rows:
                raise PageError(f"{rows} rows instead of {announced}")
        if rows and counter.last != b"\n":
            same, self._size_without_line_end = self._size_without_line_end == counter.size, counter.size
            if not same:
                raise PageError("the last row has no end")
        self._sizes.learn(rows, counter.size)
        return rows

    def _check_header(self, start: bytes) -> None:
        if not self._fields <= set(counting.parsed(start.partition(b"\n")[0])):
            raise PageError("the header is incomplete")


def _looked_through(path: Path) -> RowCounter:
    """A gzip file's content; raises where it is damaged."""
    counter = RowCounter()
    with path.open("rb") as file:
        for piece in inflated(iter(lambda: file.read(PIECE), b"")):
            counter.feed(piece)
    return counter
