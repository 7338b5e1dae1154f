"""Changes that need a table for themselves, made without keeping its readers out while somebody uses it.

Whoever waits for such a lock keeps everybody waiting who comes later, be it behind a report that takes an hour. So each
try is short, and others have the table in between.
"""

import logging
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from psycopg import Connection
from psycopg.errors import LockNotAvailable

from target_postgres_copy.errors import DestinationError

log: Final = logging.getLogger("target-postgres-copy")
_T = TypeVar("_T")
BRIEFLY: Final = "SET LOCAL lock_timeout = '2s'"  # within the transaction, once other syncs are waited for
_PAUSES: Final = (1, 2, 4, 8, *([15] * 36))  # seconds: ten minutes in all


def patiently(what: str, work: Callable[[], _T]) -> _T:
    """Do a transaction again and again until it gets its locks; DestinationError after ten minutes."""
    for pause in (*_PAUSES, None):
        try:
            return work()
        except LockNotAvailable:
            if pause is None:
                break  # the last pause is over, and it was in use still
            log.info("%s must change, but is in use; trying again in %d s.", what, pause)
            time.sleep(pause)
    raise DestinationError(
        f"{what} must change, but was in use for ten minutes without a pause.",
        hint="Look for long transactions (pg_stat_activity), then sync again.",
        retryable=True,
    )


def in_turn(connection: Connection[Any], what: str) -> None:
    """Wait for whoever works on the same thing by this name; others wait until the transaction ends."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (what,))
