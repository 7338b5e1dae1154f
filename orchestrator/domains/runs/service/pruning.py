"""Retention: what old runs said and counted, slots and events, removed a batch at a time, so that nobody waits."""

from datetime import timedelta
from time import monotonic

from orchestrator.domains.identity import service as identity
from orchestrator.domains.runs import queries
from orchestrator.domains.runs.errors import TooRecentError
from orchestrator.domains.runs.service.scratching import clear
from orchestrator.drivers.bundle import Drivers
from orchestrator.kernel.db import Role

LEAST_KEPT = timedelta(days=1)
_BATCH = 5_000  # rows of each kind; some tens of milliseconds
_EVERY = timedelta(days=1).total_seconds()


def prune(drivers: Drivers, org_id: str, *, keep: timedelta) -> int:
    """Remove history that is over for longer than `keep`; answers how many rows went.

    That is what runs said and counted, what became of slots, and events. Runs themselves and state stay, all of an
    integration's newest run and its newest that succeeded, and every schedule's newest slot.
    Raises TooRecentError.
    """
    if keep < LEAST_KEPT:
        raise TooRecentError
    gone = 0
    while (batch := _one_batch(drivers, org_id, keep=keep)) is not None:
        gone += batch
    return gone


class Pruner:
    """The same once a day for every organization, a batch a call, and what dry runs left; each worker has one."""

    def __init__(self) -> None:
        self._due = 0.0
        self._left: list[str] = []

    def __call__(self, drivers: Drivers) -> int:
        """Remove the next batch, if it is time; answers how much went."""
        if not self._left:
            if monotonic() < self._due:
                return 0
            self._due = monotonic() + _EVERY
            self._left = identity.organization_ids(drivers.db)
            return 0
        gone = _one_batch(drivers, self._left[-1], keep=drivers.settings.runs.keep)
        if gone is None:
            clear(drivers, self._left.pop(), keep=drivers.settings.runs.keep)
        return gone or 0


def _one_batch(drivers: Drivers, org_id: str, *, keep: timedelta) -> int | None:
    with drivers.db.transaction(org_id, role=Role.WORKER) as tx:
        return queries.prune(tx, keep=keep, batch=_BATCH)
