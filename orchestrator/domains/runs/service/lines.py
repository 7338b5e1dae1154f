"""A run's lines on their way to its log: bounded in memory, and bounded in the log."""

import threading
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime

Line = tuple[datetime, str, str, str]  # at, level, source, message

_WAITING = 5_000  # kept while the database is away
_KEPT = 200_000  # of a run
_CHARACTERS = 100_000_000  # … together
_TROUBLE = 5_000  # errors, and what we say ourselves, beyond that
_LAST = 100  # lines, whatever was said before
_BAD = frozenset({"error", "critical"})


class Lines:
    """Takes lines from any thread, in order; what the log has no room for is counted, and said in its place."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Line] = []
        self._kept = self._characters = self._trouble = self._left_out = 0
        self._last: deque[Line] = deque(maxlen=_LAST)  # lines left out lately

    def add(self, line: Line) -> None:
        """Keep a line for the log, or count it."""
        with self._lock:
            if self._has_room(line):
                self._tell()
                self._last.clear()
                self._keep(line)
            else:
                self._left_out += 1
                self._last.append(line)

    def end(self) -> None:
        """Nothing more is said: what was left out last is kept all the same."""
        with self._lock:
            last, self._last = self._last, deque(maxlen=_LAST)
            self._left_out -= len(last)
            self._tell()
            for line in last:
                self._keep(line)

    def take(self) -> list[Line]:
        """The lines that wait, to be stored."""
        with self._lock:
            lines, self._waiting = self._waiting, []
            return lines

    def give_back(self, lines: Sequence[Line]) -> None:
        """Have lines wait again that could not be stored."""
        with self._lock:
            self._waiting = [*lines, *self._waiting]

    def _has_room(self, line: Line) -> bool:
        if len(self._waiting) >= _WAITING:
            return False
        if self._kept < _KEPT and self._characters < _CHARACTERS:
            return True
        _, level, source, _ = line
        self._trouble += level in _BAD or source == "orchestrator"
        return (level in _BAD or source == "orchestrator") and self._trouble <= _TROUBLE

    def _keep(self, line: Line) -> None:
        self._kept += 1
        self._characters += len(line[3])
        self._waiting.append(line)

    def _tell(self) -> None:
        if self._left_out:
            said = f"… {self._left_out:,} lines left out: more than a run's log can take"
            self._waiting.append((datetime.now(UTC), "warning", "orchestrator", said))
            self._left_out = 0
