"""Reads result pages as they stream in; a page that was cut is read again from its locator.

source: Bulk API 2.0 guide, "Get Results for a Query Job" (locators stay valid and can be read again while the job
exists), "Use Compression for Bulk API 2.0 Query Responses"
"""

import csv
import io
import logging
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import requests

from tap_salesforce.client import LOST, Client
from tap_salesforce.counting import PageError
from tap_salesforce.errors import AnswerError, ShortResultError
from tap_salesforce.inflating import PIECE, BrokenGzipError, CutGzipError, inflated

log = logging.getLogger("tap-salesforce")

_CHUNK = 500  # rows handed on at once; the last chunk waits until its page is known to be whole
_BUFFER = 256 * 1024
csv.field_size_limit(64 * 1024 * 1024)  # the standard library stops at 128 KiB, rich text areas do not
# What a page looks like that ended too early, or is spoilt in another way that a second try may mend.
SPOILT = (PageError, CutGzipError, BrokenGzipError, csv.Error, UnicodeDecodeError, *LOST)

Rows = list[list[str]]
NO_MORE = "null"  # the locator behind the last page


class Trail:
    """The addresses of one listing, each of which leads to the next."""

    def __init__(self) -> None:
        self._passed: set[str] = set()

    def go(self, address: str) -> str:
        """The same address; AnswerError where it was passed before, so that no listing goes round for ever."""
        if address in self._passed:
            raise AnswerError(
                "Salesforce's list of result pages leads back to a page that was read already.",
                hint="Run again: it goes on from the last bookmark. Tell Salesforce support if it stays so.",
                status=200,
                code="",
            )
        self._passed.add(address)
        return address


@dataclass(frozen=True, slots=True)
class Address:
    """Where a page is to be had."""

    path: str
    params: Mapping[str, str] = field(default_factory=dict)


def opened(client: Client, address: Address) -> closing[requests.Response]:
    """A page whose body is still to be read."""
    return closing(client.open(address.path, accept="text/csv", params=address.params))


def spoilt(why: Exception) -> ShortResultError:
    """What to say when a page stays spoilt; why it is read again is logged."""
    log.info("A result page was cut short (%s); reading it again.", str(why)[:100] or type(why).__name__)
    return ShortResultError(
        f"Salesforce's result page was cut short again and again ({type(why).__name__}).",
        hint="Run again: it goes on from the last bookmark. Lower bulk_page_rows if it stays so.",
    )


class Page:
    """One set of results. Read again from the same locator when it was cut; no row is handed on twice."""

    def __init__(self, client: Client, address: Address, fields: list[str]) -> None:
        self._client = client
        self._address = address
        self._fields = fields
        self._width = len(fields)
        self._handed_on = 0
        self._size_without_line_end = -1
        self.next_locator = NO_MORE

    def rows(self) -> Iterator[Rows]:
        """Chunks of rows; ShortResultError when the page stays short."""
        for attempt in self._client.backoff.attempts():
            before = self._handed_on
            try:
                with opened(self._client, self._address) as reply:
                    yield from self._read(reply)
            except SPOILT as why:
                attempt.failed(spoilt(why), progressed=self._handed_on > before)
            else:
                return

    def _read(self, reply: requests.Response) -> Iterator[Rows]:
        body = Body(reply)
        lines = io.TextIOWrapper(io.BufferedReader(body, _BUFFER), encoding="utf-8", newline="\n")
        reader = csv.reader(lines, strict=True)
        order = self._order(next(reader, None))
        seen, held = 0, list[list[str]]()
        while chunk := list(islice(reader, _CHUNK)):
            rows = self._checked(chunk, order)
            yield from self._hand_on(held, seen)
            seen += len(held)
            held = rows
        self._verify(reply, body, seen + len(held))
        yield from self._hand_on(held, seen)
        self.next_locator = reply.headers.get("Sforce-Locator") or NO_MORE

    def _order(self, header: list[str] | None) -> list[int] | None:
        """How to bring the columns into the order asked for; None if they are."""
        if header is None or header == self._fields:
            return None
        place = {name: number for number, name in enumerate(header)}
        self._width = len(header)
        if not place.keys() >= set(self._fields):
            raise PageError("the header is incomplete")
        return [place[name] for name in self._fields]

    def _checked(self, chunk: Rows, order: list[int] | None) -> Rows:
        width = self._width
        rows = [row for row in chunk if row]
        for row in rows:
            if len(row) != width:
                raise PageError(f"a row of {len(row)} columns instead of {width}")
        return rows if order is None else [[row[at] for at in order] for row in rows]

    def _hand_on(self, rows: Rows, first: int) -> Iterator[Rows]:
        """The rows not handed on before; `first` is the number of the first of them within the page."""
        fresh = rows[max(0, self._handed_on - first) :]
        if fresh:
            self._handed_on = first + len(rows)
            yield fresh

    def _verify(self, reply: requests.Response, body: "Body", rows: int) -> None:
        """The page is whole: as many rows as announced, and the last of them ends.

        A page that twice has the same size and number of rows, but no final line end, is how it is.
        """
        announced = reply.headers.get("Sforce-NumberOfRecords", "")
        if announced.isdigit() and int(announced) != rows:
            raise PageError(f"{rows} rows instead of {announced}")
        if rows and body.last != b"\n":
            same, self._size_without_line_end = self._size_without_line_end == body.size, body.size
            if not same:
                raise PageError("the last row has no end")


class Body(io.RawIOBase):
    """An HTTP body, decompressed as it is read; remembers its size and last byte."""

    def __init__(self, reply: requests.Response) -> None:
        super().__init__()
        pieces = iter(lambda: reply.raw.read(PIECE, decode_content=False), b"")
        zipped = reply.headers.get("Content-Encoding", "").lower() == "gzip"
        self._pieces = inflated(pieces) if zipped else pieces
        self._left = memoryview(b"")
        self.size = 0
        self.last = b""

    def readable(self) -> bool:
        """It is there to be read."""
        return True

    def readinto(self, target: Any) -> int:
        """What io.BufferedReader calls."""
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = memoryview(piece)
        size = min(len(target), len(self._left))
        target[:size], self._left = self._left[:size], self._left[size:]
        self.size += size
        self.last = bytes(target[size - 1 : size])
        return size
