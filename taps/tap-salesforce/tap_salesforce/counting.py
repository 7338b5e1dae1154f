r"""Counts the rows of a result page at the speed of memory, and tells whether its last row is whole.

Salesforce quotes every value, and the first column asked for is one that begins with a letter or digit in every row
(IsDeleted, or Id). So each row, and nothing else, begins with a line feed, a quote and a letter or digit: within a
value a quote is always two, and a quote that ends a value is followed by a comma or a line end. Looking for these
three bytes needs no parsing. Where the pages are written otherwise the count will not be the one announced, and
`count_slowly` has the last word.
"""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

from tap_salesforce.inflating import opened

_ROW = re.compile(rb'\n"[0-9A-Za-z]')
_START = 3  # bytes
_LONGEST_HEAD = 1024**2  # bytes; 800 names of 80 characters are less than a tenth of it
_LONGEST_ROW = 256 * 1024**2  # bytes; an object may have 1.6 million characters of text in long fields


class PageError(Exception):
    """A result page is not what Salesforce announced."""


class RowCounter:
    """Takes a page in pieces as they come; PageError where something in it has no end.

    rows: found so far, without the header
    size: bytes so far
    last: the last byte
    head: the first row
    """

    def __init__(self) -> None:
        self.rows = self.size = 0
        self.last = b""
        self._edge = b""
        self.head = b""
        self._tail = bytearray()  # the last row so far

    def feed(self, piece: bytes) -> None:
        """Take the next piece in."""
        if not piece:
            return
        self.size += len(piece)
        self.last = piece[-1:]
        text = self._edge + piece
        starts = _ROW.findall(text)
        if not self.head.endswith(b"\n"):
            self.head += piece[: piece.find(b"\n") + 1 or None]
            if len(self.head) > _LONGEST_HEAD:
                raise PageError("the header has no end")
        if starts:
            self.rows += len(starts)
            self._tail = bytearray(text[_last_start(text) :])
        elif self.rows:
            self._tail += piece
            if len(self._tail) > _LONGEST_ROW:
                raise PageError("a row has no end")
        self._edge = text[1 - _START :]

    def ends_well(self) -> bool:
        """Whether the last row has as many values as the header."""
        return self.rows == 0 or len(parsed(bytes(self._tail))) == len(parsed(self.head))


def count_slowly(path: Path, *, zipped: bool) -> int:
    """The rows of a file, by parsing it; PageError where it is no CSV."""
    rows = 0
    try:
        with opened(path, zipped=zipped) as pieces, io.TextIOWrapper(pieces, encoding="utf-8", newline="\n") as text:
            reader = csv.reader(text, strict=True)
            rows = sum(1 for _ in _full(reader, len(next(reader, []))))
    except (csv.Error, UnicodeDecodeError) as wrong:
        raise PageError(f"it cannot be read as CSV: {wrong}") from wrong
    return rows


def _full(reader: Iterator[list[str]], width: int) -> Iterator[list[str]]:
    for row in reader:
        if row:
            if len(row) != width:
                raise PageError(f"a row of {len(row)} columns instead of {width}")
            yield row


def _last_start(text: bytes) -> int:
    at = text.rfind(b'\n"')
    while not _ROW.match(text, at):
        at = text.rfind(b'\n"', 0, at)
    return at


def parsed(row: bytes) -> list[str]:
    """The values of one row, with or without its end; PageError where it is none."""
    try:
        return next(csv.reader(io.StringIO(row.strip(b"\r\n").decode(), newline=""), strict=True), [])
    except (csv.Error, UnicodeDecodeError) as wrong:
        raise PageError(f"a row cannot be read: {wrong}") from wrong
