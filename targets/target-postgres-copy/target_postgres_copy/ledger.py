"""Which STATE may be said when: one that came after a load waits until that load, and all before it, are committed."""

from collections import deque
from typing import Any


class Ledger:
    """Loads are opened in the order their first row came, and committed in any order. Knows no threads.

    STATE messages that would become sayable together are one: only the newest of them is kept.
    """

    def __init__(self) -> None:
        self._open: dict[int, None] = {}  # in order of opening
        self._last = 0
        self._waiting: deque[tuple[int, Any]] = deque()

    def open(self) -> int:
        """A new load; its number."""
        self._last += 1
        self._open[self._last] = None
        return self._last

    def commit(self, number: int) -> None:
        """The load is in the database."""
        del self._open[number]

    def hold(self, state: Any) -> None:
        """A STATE came."""
        if self._waiting and self._waiting[-1][0] == self._last:
            self._waiting.pop()
        self._waiting.append((self._last, state))

    def sayable(self) -> list[Any]:
        """The newest STATE with everything before it committed, or nothing; each is returned once."""
        oldest = next(iter(self._open), self._last + 1)
        newest: list[Any] = []
        while self._waiting and self._waiting[0][0] < oldest:
            newest = [self._waiting.popleft()[1]]
        return newest
