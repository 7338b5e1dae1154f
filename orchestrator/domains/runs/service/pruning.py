"""Retention: what old runs said and counted, slots and events, removed a batch at a time, so that nobody waits."""

from collections.abc import Callable
from datetime import timedelta
from time import monotonic

from orchestrator.domains.identity import service as identity
from orchestrator.domains.runs import queries
from orchestrator.domains.runs.errors import TooRecentError
from orchestrator.domains.runs.service.pausing import refuse_unconfirmed
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
    Raises TooRecentError, UnconfirmedDatabaseError.
    """
    if keep < LEAST_KEPT:
        raise TooRecentError
    refuse_unconfirmed(drivers)
    gone = 0
    while (batch := _one_batch(drivers, org_id, keep=keep)) is not None:
        gone += batch
    return gone


class Daily:
    """Something that is done once a day for every organization, a piece a call; each worker has its own.

    piece:  does one piece for an organization; answers whether there is more
    """

    def __init__(self, piece: Callable[[Drivers, str], bool]) -> None:
        self._piece = piece
        self._due = 0.0
        self._left: list[str] = []

    def __call__(self, drivers: Drivers) -> None:
        """Do the next piece, if it is time. An organization whose piece fails waits for the next day."""
        if self._left:
            org_id = self._left.pop()
            if self._piece(drivers, org_id):
                self._left.append(org_id)
        elif monotonic() >= self._due:
            self._due = monotonic() + _EVERY
            self._left = identity.organization_ids(drivers.db)


def pruner() -> Daily:
    """Removes history, a batch a call."""
    return Daily(lambda drivers, org_id: _one_batch(drivers, org_id, keep=drivers.settings.runs.keep) is not None)


def clearer() -> Daily:
    """Drops what dry runs left. Not for where others wait: it asks servers of organizations' own."""

    def piece(drivers: Drivers, org_id: str) -> bool:
        clear(drivers, org_id, keep=drivers.settings.runs.keep)
        return False

    return Daily(piece)


def _one_batch(drivers: Drivers, org_id: str, *, keep: timedelta) -> int | None:
    with drivers.db.transaction(org_id, role=Role.WORKER) as tx:
        return queries.prune(tx, keep=keep, batch=_BATCH)
