"""Result pages as files: the bytes as they come from Salesforce, looked through on their way, but never parsed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import IO

import requests

from tap_salesforce import counting
from tap_salesforce.batchfolder import BatchFolder
from tap_salesforce.bulk import NO_MORE
from tap_salesforce.client import Client
from tap_salesforce.counting import PageError, RowCounter
from tap_salesforce.inflating import PIECE, deflater, inflated
from tap_salesforce.pages import SPOILT, Address, opened, spoilt


class GivenUpError(Exception):
    """Nobody waits for the page any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFile:
    """A whole page in a file of its own.

    rows, deleted: how many there are, and how many of them are marked as deleted
    extracted:     when it was asked for
    next_locator:  of the page behind it
    """

    path: Path
    rows: int
    deleted: int
    extracted: datetime
    next_locator: str


class PageDownload:
    """Brings one page into a file, and again when it comes spoilt.

    over: set when it is not wanted any more
    """

    def __init__(
        self, client: Client, address: Address, fields: Sequence[str], folder: BatchFolder, over: Event
    ) -> None:
        self._client = client
        self._address = address
        self._fields = frozenset(fields)
        self._folder = folder
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
            rows, deleted = self._checked(reply, self._copy(reply, file), file)
            return PageFile(
                path=path,
                rows=rows,
                deleted=deleted,
                extracted=extracted,
                next_locator=reply.headers.get("Sforce-Locator") or NO_MORE,
            )

    def _copy(self, reply: requests.Response, file: IO[bytes]) -> RowCounter:
        """The body into the file: untouched if it comes as the file is to be."""
        counter = RowCounter()
        packed = reply.headers.get("Content-Encoding", "").lower() == "gzip"
        if packed and self._folder.zipped:
            for piece in inflated(self._kept(reply, file)):
                counter.feed(piece)
            return counter
        squeeze = deflater() if self._folder.zipped else None
        for piece in inflated(self._raw(reply)) if packed else self._raw(reply):
            counter.feed(piece)
            file.write(squeeze.compress(piece) if squeeze else piece)
        if squeeze:
            file.write(squeeze.flush())
        return counter

    def _raw(self, reply: requests.Response) -> Iterator[bytes]:
        while piece := reply.raw.read(PIECE, decode_content=False):
            if self._over.is_set():
                raise GivenUpError
            yield piece

    def _kept(self, reply: requests.Response, file: IO[bytes]) -> Iterator[bytes]:
        for piece in self._raw(reply):
            file.write(piece)
            yield piece

    def _checked(self, reply: requests.Response, counter: RowCounter, file: IO[bytes]) -> tuple[int, int]:
        """(rows, of which deleted) of a page that is whole: as many rows as announced, and the last of them ends.

        A page that twice has the same size and number of rows, but no final line end, is how it is.
        """
        header = counter.header()
        if not self._fields <= set(header):
            raise PageError("the header is incomplete")
        announced = reply.headers.get("Sforce-NumberOfRecords", "")
        rows, deleted = counter.rows, counter.deleted
        if str(rows) != announced or not counter.ends_well() or ("IsDeleted" in header and header[0] != "IsDeleted"):
            file.flush()
            rows, deleted = counting.count_slowly(Path(file.name), zipped=self._folder.zipped)
            if announced.isdigit() and int(announced) != rows:
                raise PageError(f"{rows} rows instead of {announced}")
        elif header[0] != "IsDeleted":
            deleted = 0
        if rows and counter.last != b"\n":
            same, self._size_without_line_end = self._size_without_line_end == counter.size, counter.size
            if not same:
                raise PageError("the last row has no end")
        return rows, deleted
