"""When to try again: exponential waits with jitter, Salesforce's own Retry-After, and an end."""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from tap_salesforce.errors import SourceError

_LONGEST_RETRY_AFTER = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Waits of base, 2·base, 4·base … seconds (half of it random), each at most `cap`.

    retries: how many times after the first attempt
    """

    retries: int
    base: float = 0.5
    cap: float = 30.0
    sleep: Callable[[float], None] = time.sleep

    def attempts(self) -> Iterator["Attempt"]:
        """One Attempt per try. A try that ends without `failed` must leave the loop."""
        number, began = 0, time.monotonic()
        while True:
            attempt = Attempt(self, number, began)
            yield attempt
            number = 0 if attempt.restarted else number + 1

    def pause(self, number: int) -> None:
        """Wait after failed try `number` (from 0)."""
        self.sleep(self.wait(number, None))

    def wait(self, number: int, retry_after: str | None) -> float:
        """Seconds to wait after failed try `number` (from 0)."""
        asked = seconds_of(retry_after)
        if asked is not None:
            return min(asked, _LONGEST_RETRY_AFTER)
        full = min(self.cap, self.base * 2**number)
        return float(full / 2 + random.uniform(0, full / 2))  # noqa: S311 - spreads load, guards nothing


class Attempt:
    """One try; tell it when it failed."""

    def __init__(self, backoff: Backoff, number: int, began: float) -> None:
        self._backoff = backoff
        self._began = began
        self.number = number
        self.restarted = False

    def failed(
        self,
        error: SourceError,
        *,
        retry_after: str | None = None,
        progressed: bool = False,
        patience: float = float("inf"),
    ) -> None:
        """Wait before the next try, or raise `error` when there was no progress for too many tries.

        progressed: this try brought something new, so the count begins again
        patience:   seconds since the first try after which no other begins
        """
        wait = self._backoff.wait(0 if progressed else self.number, retry_after)
        if progressed:
            self.restarted = True
        elif self.number >= self._backoff.retries or time.monotonic() - self._began + wait > patience:
            raise error
        self._backoff.sleep(wait)


def seconds_of(retry_after: str | None) -> float | None:
    """A Retry-After header (seconds, or an HTTP date) as seconds from now; None when absent or unreadable."""
    text = (retry_after or "").strip()
    if text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
