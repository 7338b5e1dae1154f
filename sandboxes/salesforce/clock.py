"""The org's own time: the computer's, moved or held by a test that needs another."""

import threading
from datetime import UTC, datetime, timedelta


class Clock:
    """Real time plus an offset; `advance` moves it, `freeze` holds it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._offset = timedelta()
        self._held: datetime | None = None

    def now(self) -> datetime:
        """The org's time, aware, UTC."""
        with self._lock:
            return self._held or datetime.now(UTC) + self._offset

    def advance(self, seconds: float) -> datetime:
        """Move the time; answers the new one."""
        step = timedelta(seconds=seconds)
        with self._lock:
            if self._held:
                self._held += step
            self._offset += step
        return self.now()

    def freeze(self, at: datetime | None = None) -> datetime:
        """Hold the time at `at` (default: now)."""
        held = (at or self.now()).astimezone(UTC)
        with self._lock:
            self._held = held
        return held

    def release(self) -> None:
        """Let a held time run again from where real time is."""
        with self._lock:
            self._held = None
