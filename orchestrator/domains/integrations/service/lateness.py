"""Whether an integration's data is late: what is remembered of it, for whoever knows what its schedules promise."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter

from sqlalchemy.orm import Session

from orchestrator.domains.integrations import queries
from orchestrator.domains.integrations.types import Lateness
from orchestrator.drivers.bundle import Drivers
from orchestrator.kernel.db import Role


def claim_due_looks(drivers: Drivers, *, most: int) -> Mapping[str, list[str]]:
    """Integrations whose data is to be looked at now, by organization; nobody else gets them for a minute."""
    with drivers.db.anonymous(role=Role.WORKER) as tx:
        claimed = queries.claim_due_looks(tx, most=most)
    return {org_id: [one for _, one in ours] for org_id, ours in groupby(claimed, itemgetter(0))}


def hold_lateness(tx: Session, integration_ids: Sequence[str]) -> list[Lateness]:
    """What is known of them; until the transaction ends nobody else notes it, and no sync of theirs ends."""
    return queries.hold_lateness(tx, integration_ids)


def note_lateness(tx: Session, integration_id: str, *, late: bool, look_at: datetime | timedelta | None) -> None:
    """Note whether its data is late, and when to look again: then, after so long, or once something has changed."""
    queries.note_lateness(tx, integration_id, late=late, look_at=look_at)


def look_soon(tx: Session, integration_id: str) -> None:
    """Have it looked at with the next tick: what its schedules promise is another now."""
    queries.look_soon(tx, integration_id)
