"""Trouble on request: which answers go wrong, how, and how often.

Kinds
  session         401 INVALID_SESSION_ID, and the session is really gone
  status          an error status (default 503) with an optional Retry-After
  limit           403 REQUEST_LIMIT_EXCEEDED
  reset           the connection is reset before any answer
  reset_body      … after a fraction of the body
  stall           nothing for some seconds, or until the faults are cleared, then the answer
  stall_body      … in the middle of the body
  cut_row         a CSV page ends in the middle of the row at a fraction of it, as a complete HTTP answer
  truncated_gzip  a gzip body ends early, as a complete HTTP answer
  job_failed      a Bulk job ends as Failed with `reason`
  job_aborted     a Bulk job ends as Aborted
  job_slow        a Bulk job stays InProgress for some seconds
"""

import re
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from .errors import SandboxError

KINDS = frozenset(
    [
        "session",
        "status",
        "limit",
        "reset",
        "reset_body",
        "stall",
        "stall_body",
        "cut_row",
        "truncated_gzip",
        "job_failed",
        "job_aborted",
        "job_slow",
    ]
)
JOB_KINDS = frozenset({"job_failed", "job_aborted", "job_slow"})


@dataclass(slots=True, kw_only=True)
class Fault:
    """One kind of trouble, and the requests it is for.

    path:         regular expression searched for in path and query
    nth, times:   the first matching request that gets it (from 1), and how many do (0: all from then on)
    status, retry_after, seconds, fraction, reason:  what the kind needs; retry_after in seconds
    """

    kind: str
    path: str = ""
    method: str = ""
    nth: int = 1
    times: int = 1
    status: int = 503
    code: str = "SERVER_UNAVAILABLE"
    retry_after: int | None = None
    seconds: float = 1.0
    fraction: float = 0.5
    reason: str = "InternalServerError: the query failed"
    id: int = 0
    matched: int = 0
    hits: int = 0
    over: bool = False  # cleared: what it stalls goes on

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise SandboxError(f"There is no fault {self.kind!r}; there are {', '.join(sorted(KINDS))}.")
        try:
            re.compile(self.path)
        except re.error as error:
            raise SandboxError(f"The path {self.path!r} is no regular expression: {error}.") from error
        if self.kind in JOB_KINDS and not self.path:
            self.path, self.method = r"/jobs/query/?$", "POST"

    def fires(self, method: str, path: str) -> bool:
        """Count a matching request; whether it is one that gets the fault."""
        if (self.method and self.method.upper() != method) or not re.search(self.path, path):
            return False
        self.matched += 1
        if self.matched < self.nth or (self.times and self.hits >= self.times):
            return False
        self.hits += 1
        return True


class Faults:
    """The faults in force; control requests and sign-out never get any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._last = 0

    def add(self, kind: str, **settings: Any) -> Fault:
        """Put a fault in force; its `hits` tell how often it struck."""
        unknown = set(settings) - {f.name for f in fields(Fault)} | (set(settings) & {"id", "matched", "hits", "over"})
        if unknown:
            raise SandboxError(f"A fault has no setting {', '.join(sorted(unknown))}.")
        try:
            fault = Fault(kind=kind, **settings)
        except TypeError as error:
            raise SandboxError(f"This is no fault: {error}.") from error
        with self._lock:
            self._last += 1
            fault.id = self._last
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Everything works again."""
        with self._lock:
            for fault in self._faults:
                fault.over = True
            self._faults.clear()

    def take(self, method: str, path: str) -> Sequence[Fault]:
        """The faults this request gets."""
        if not self._faults:
            return ()
        with self._lock:
            return [f for f in self._faults if f.fires(method, path)]

    def listing(self) -> list[dict[str, Any]]:
        """All faults with their counts."""
        with self._lock:
            return [asdict(f) for f in self._faults]
