"""Reads a query by Bulk API 2.0: a job, its result pages as they stream in, and nothing left behind.

source: Bulk API 2.0 guide: "Create a Query Job", "Get Results for a Query Job" (locators stay valid and can
be read again while the job exists), "Use Compression for Bulk API 2.0 Query Responses".
"""

import csv
import io
import logging
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from itertools import islice
from typing import Any, Self

import requests

from tap_salesforce import soql
from tap_salesforce.client import LOST, Client
from tap_salesforce.errors import (
    AccessError,
    AnswerError,
    ConfigError,
    JobError,
    ShortResultError,
    SourceError,
    UnavailableError,
)

log = logging.getLogger("tap-salesforce")

FIRST_POLL = 0.15  # seconds; a job of a small window is often done by then
SLOWEST_POLL = 10.0
_SLOWER = 1.75
_CHUNK = 500  # rows handed on at once; the last chunk waits until its page is known to be whole
_BUFFER = 256 * 1024
_REFUSED = re.compile(
    r"INVALID_?ENTITY|not supported (?:by|in|with) the Bulk API|(?:FEATURE|FUNCTIONALITY)_?NOT_?ENABLED", re.IGNORECASE
)
csv.field_size_limit(64 * 1024 * 1024)  # the standard library stops at 128 KiB, rich text areas do not

Rows = list[list[str]]


class RefusedError(Exception):
    """Bulk does not serve this object; REST does. The text is Salesforce's reason."""


class CutError(Exception):
    """A result page ended too early."""


class Bulk:
    """Query jobs of one org.

    page_rows: rows per result page (Salesforce may send fewer)
    wait:      how long a job may take
    """

    def __init__(self, client: Client, *, include_deleted: bool, page_rows: int, wait: timedelta) -> None:
        self.client = client
        self.page_rows = page_rows
        self.wait = wait
        self._operation = "queryAll" if include_deleted else "query"

    def start(self, query: str, fields: Sequence[str]) -> "Job":
        """Create a job; Salesforce begins at once. RefusedError when the object is not for Bulk."""
        if len(query) > soql.LONGEST_BULK:
            raise ConfigError(
                f"The query for {len(fields)} fields is longer than Salesforce's {soql.LONGEST_BULK:,} characters.",
                hint="Select fewer fields.",
            )
        wish = {
            "operation": self._operation,
            "query": query,
            "contentType": "CSV",
            "columnDelimiter": "COMMA",
            "lineEnding": "LF",
        }
        try:
            answer = self.client.json("POST", "jobs/query", json=wish)
        except (AnswerError, AccessError) as refused:
            if _REFUSED.search(refused.message):
                raise RefusedError(refused.message) from refused
            raise
        return Job(self, str(answer["id"]), fields)


class Job:
    """One query job. Use as a context: leaving it deletes the job, whatever happened."""

    def __init__(self, bulk: Bulk, job_id: str, fields: Sequence[str]) -> None:
        self._bulk = bulk
        self._client = bulk.client
        self._path = f"jobs/query/{job_id}"
        self._fields = list(fields)
        self._made = time.monotonic()
        self._state = "UploadComplete"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    def discard(self) -> None:
        """Abort if it still runs, and delete. One try: Salesforce deletes old jobs after 7 days anyway."""
        try:
            if self._state in ("UploadComplete", "InProgress"):
                self._client.once("PATCH", self._path, json={"state": "Aborted"})
            self._client.once("DELETE", self._path)
        except (SourceError, *LOST) as lost:
            log.debug("A Bulk job was not deleted: %s", lost)

    def pages(self) -> Iterator[Rows]:
        """Chunks of rows, the cells in the order of the query. JobError with Salesforce's reason."""
        facts = self._finished()
        seen, locator = 0, ""
        while locator != "null":
            page = Page(self._client, f"{self._path}/results", locator, self._bulk.page_rows, self._fields)
            for rows in page.rows():
                seen += len(rows)
                yield rows
            locator = page.next_locator
        promised = int(facts.get("numberRecordsProcessed") or 0)
        if seen < promised:
            raise ShortResultError(
                f"Salesforce processed {promised:,} rows but delivered {seen:,}.", hint="Run again: nothing is lost."
            )

    def _finished(self) -> dict[str, Any]:
        """Wait for JobComplete: soon at first, then less and less often."""
        pause, deadline = FIRST_POLL, self._made + self._bulk.wait.total_seconds()
        due = self._made + pause
        while True:
            self._client.backoff.sleep(max(0.0, due - time.monotonic()))
            facts: dict[str, Any] = self._client.json("GET", self._path)
            self._state = str(facts.get("state"))
            if self._state == "JobComplete":
                return facts
            if self._state in ("Failed", "Aborted"):
                raise self._failure(facts)
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"A Bulk job is still {self._state} after {self._bulk.wait}.",
                    hint="Lower window_rows, or raise bulk_job_minutes.",
                )
            pause = min(pause * _SLOWER, SLOWEST_POLL)
            due = time.monotonic() + pause

    def _failure(self, facts: dict[str, Any]) -> Exception:
        reason = " ".join(str(facts.get("errorMessage") or "").split()) or "no reason given"
        if _REFUSED.search(reason):
            return RefusedError(reason)
        ended = "failed" if self._state == "Failed" else "was aborted"
        return JobError(
            f"Salesforce's Bulk job for {facts.get('object') or 'the query'} {ended}: {reason}.",
            hint="Run again; if it stays so, lower window_rows or set api_type to REST.",
            reason=reason,
        )


class Page:
    """One set of results. Read again from the same locator when it was cut; no row is handed on twice."""

    def __init__(self, client: Client, path: str, locator: str, rows: int, fields: list[str]) -> None:
        self._client = client
        self._path = path
        self._params = {"maxRecords": str(rows), **({"locator": locator} if locator else {})}
        self._fields = fields
        self._width = len(fields)
        self._handed_on = 0
        self._size_without_line_end = -1
        self.next_locator = "null"

    def rows(self) -> Iterator[Rows]:
        """Chunks of rows; ShortResultError when the page stays short."""
        for attempt in self._client.backoff.attempts():
            before = self._handed_on
            try:
                with closing(self._client.open(self._path, accept="text/csv", params=self._params)) as reply:
                    yield from self._read(reply)
            except (CutError, csv.Error, UnicodeDecodeError, *LOST) as cut:
                log.info("A result page was cut short (%s); reading it again.", str(cut)[:100] or type(cut).__name__)
                error = ShortResultError(
                    f"Salesforce's result page was cut short again and again ({type(cut).__name__}).",
                    hint="Run again: it goes on from the last bookmark. Lower bulk_page_rows if it stays so.",
                )
                attempt.failed(error, progressed=self._handed_on > before)
            else:
                return

    def _read(self, reply: requests.Response) -> Iterator[Rows]:
        body = Body(reply.raw)
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
        self.next_locator = reply.headers.get("Sforce-Locator") or "null"

    def _order(self, header: list[str] | None) -> list[int] | None:
        """How to bring the columns into the order asked for; None if they are."""
        if header is None or header == self._fields:
            return None
        place = {name: number for number, name in enumerate(header)}
        self._width = len(header)
        if not place.keys() >= set(self._fields):
            raise CutError("the header is incomplete")
        return [place[name] for name in self._fields]

    def _checked(self, chunk: Rows, order: list[int] | None) -> Rows:
        width = self._width
        rows = [row for row in chunk if row]
        for row in rows:
            if len(row) != width:
                raise CutError(f"a row of {len(row)} columns instead of {width}")
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
            raise CutError(f"{rows} rows instead of {announced}")
        if rows and body.last != b"\n":
            same, self._size_without_line_end = self._size_without_line_end == body.size, body.size
            if not same:
                raise CutError("the last row has no end")


class Body(io.RawIOBase):
    """An HTTP body, decompressed as it is read; remembers its size and last byte."""

    def __init__(self, raw: Any) -> None:
        super().__init__()
        self._raw = raw
        self.size = 0
        self.last = b""

    def readable(self) -> bool:
        """It is there to be read."""
        return True

    def readinto(self, target: Any) -> int:
        """What io.BufferedReader calls."""
        data: bytes = self._raw.read(len(target), decode_content=True)
        size = len(data)
        if size:
            target[:size] = data
            self.size += size
            self.last = data[-1:]
        return size
