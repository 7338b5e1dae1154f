"""Reads a query by Bulk API 2.0: a job, where its result pages are, and nothing left behind.

source: Bulk API 2.0 guide: "Create a Query Job", "Get Results for a Query Job", "Get Parallel Results for a Query Job"
"""

import logging
import re
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, Self

from tap_salesforce import advice, soql
from tap_salesforce.client import LOST, Client
from tap_salesforce.errors import (
    AccessError,
    AnswerError,
    JobError,
    ShortResultError,
    SourceError,
    UnavailableError,
)
from tap_salesforce.pages import NO_MORE, Address, Page, Rows, Trail

log = logging.getLogger("tap-salesforce")

FIRST_POLL = 0.15  # seconds; a job of a small window is often done by then
SOONEST_POLL = 0.05  # once a run: all else waits for its first job
SLOWEST_POLL = 10.0
_TELL_EVERY = 120.0  # seconds
_NOT_FOUND = 404
_SLOWER = 1.75
_REFUSED = re.compile(
    r"INVALID_?ENTITY|not supported (?:by|in|with) the Bulk API|(?:FEATURE|FUNCTIONALITY)_?NOT_?ENABLED", re.IGNORECASE
)


class RefusedError(Exception):
    """Bulk does not serve this object; REST does. The text is Salesforce's reason."""


class Bulk:
    """Query jobs of one org, by queryAll: what is in the recycle bin comes, and activities that are archived.

    page_rows: rows per result page (Salesforce may send fewer)
    wait:      how long a job may take
    """

    def __init__(self, client: Client, *, page_rows: int, wait: timedelta) -> None:
        self.client = client
        self.page_rows = page_rows
        self.wait = wait
        self._there: set[Job] = set()
        self._none_yet = True
        self._lock = threading.Lock()

    def start(self, query: str, fields: Sequence[str]) -> "Job":
        """Create a job; Salesforce begins at once. RefusedError when the object is not for Bulk."""
        if len(query) > soql.LONGEST_BULK:
            raise advice.too_long(fields, length=len(query), limit=soql.LONGEST_BULK, way="Salesforce")
        wish = {
            "operation": "queryAll",
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
        first, self._none_yet = self._none_yet, False
        return Job(self, str(answer["id"]), fields, first=first)

    def made(self, job: "Job") -> None:
        """Remember a job until it is deleted."""
        with self._lock:
            self._there.add(job)

    def discard_all(self) -> None:
        """Delete what is left of jobs, whoever made them."""
        for job in list(self._there):
            job.discard()

    def gone(self, job: "Job") -> bool:
        """Forget a job; False if it was forgotten before."""
        with self._lock:
            known = job in self._there
            self._there.discard(job)
        return known


class Job:
    """One query job. Use as a context: leaving it deletes the job, whatever happened."""

    def __init__(self, bulk: Bulk, job_id: str, fields: Sequence[str], *, first: bool) -> None:
        self._bulk = bulk
        self._client = bulk.client
        self._path = f"jobs/query/{job_id}"
        self._fields = list(fields)
        self._made = time.monotonic()
        self._first = first
        self._state = "UploadComplete"
        bulk.made(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    def discard(self) -> None:
        """Abort if it still runs, and delete. One try: Salesforce deletes old jobs after 7 days anyway."""
        if not self._bulk.gone(self):
            return
        try:
            if self._state in ("UploadComplete", "InProgress"):
                self._client.once("PATCH", self._path, json={"state": "Aborted"})
            self._client.once("DELETE", self._path)
        except (SourceError, *LOST) as lost:
            log.debug("A Bulk job was not deleted: %s", lost)

    def pages(self) -> Iterator[Rows]:
        """Chunks of rows, the cells in the order of the query. JobError with Salesforce's reason."""
        promised = self.finished()
        seen, locator, trail = 0, "", Trail()
        while locator != NO_MORE:
            page = Page(self._client, self.address(trail.go(locator)), self._fields)
            for rows in page.rows():
                seen += len(rows)
                yield rows
            locator = page.next_locator
        self.check(seen, promised)

    def address(self, locator: str) -> Address:
        """Where the page of that locator is to be had; '' for the first."""
        wish = {"maxRecords": str(self._bulk.page_rows), **({"locator": locator} if locator else {})}
        return Address(f"{self._path}/results", wish)

    def addresses(self, promised: int) -> Iterator[Address]:
        """Where all pages are, to be read at the same time.

        Only the first where one is enough for what was promised, or the org does not list pages (before API 58.0).
        """
        listed = self._listed() if promised > self._bulk.page_rows else iter(())
        first = next(listed, None)
        yield first or self.address("")
        yield from listed

    def _listed(self) -> Iterator[Address]:
        path: str | None = f"{self._path}/resultPages"
        trail = Trail()
        while path:
            try:
                answer = self._client.json("GET", trail.go(path))
            except AnswerError as refused:
                if refused.status == _NOT_FOUND:
                    return
                raise
            yield from (Address(str(page["resultUrl"])) for page in answer["resultPages"])
            path = answer.get("nextRecordsUrl")

    @staticmethod
    def check(seen: int, promised: int) -> None:
        """ShortResultError if there were fewer rows than the job found."""
        if seen < promised:
            raise ShortResultError(
                f"Salesforce processed {promised:,} rows but delivered {seen:,}.", hint="Run again: nothing is lost."
            )

    def finished(self) -> int:
        """Wait for JobComplete, soon at first, then less and less often; how many rows there are."""
        pause, deadline = FIRST_POLL, self._made + self._bulk.wait.total_seconds()
        due, told = self._made + (SOONEST_POLL if self._first else FIRST_POLL), self._made
        while True:
            self._client.backoff.sleep(max(0.0, due - time.monotonic()))
            facts: dict[str, Any] = self._client.json("GET", self._path)
            self._state = str(facts.get("state"))
            if self._state == "JobComplete":
                return int(facts.get("numberRecordsProcessed") or 0)
            if self._state in ("Failed", "Aborted"):
                raise self._failure(facts)
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"A Bulk job is still {self._state} after {self._bulk.wait}.",
                    hint="Lower window_rows, or raise bulk_job_minutes.",
                )
            told = self._tell(facts, told)
            pause = min(pause * _SLOWER, SLOWEST_POLL)
            due = time.monotonic() + pause

    def _tell(self, facts: dict[str, Any], told: float) -> float:
        """Say from time to time how far a long job is; who watches us must not take the wait for a standstill."""
        if (now := time.monotonic()) - told < _TELL_EVERY:
            return told
        rows, waited = int(facts.get("numberRecordsProcessed") or 0), (now - self._made) / 60
        log.info("Salesforce's Bulk job is %s after %.0f minutes: %s rows so far.", self._state, waited, f"{rows:,}")
        return now

    def _failure(self, facts: dict[str, Any]) -> Exception:
        reason = " ".join(str(facts.get("errorMessage") or "").split()) or "no reason given"
        if _REFUSED.search(reason):
            return RefusedError(reason)
        ended = "failed" if self._state == "Failed" else "was aborted"
        return JobError(
            f"Salesforce's Bulk job for {facts.get('object') or 'the query'} {ended}: {reason}.",
            hint=advice.hint(reason, "Run again; if it stays so, lower window_rows or set api_type to REST."),
            reason=reason,
        )
