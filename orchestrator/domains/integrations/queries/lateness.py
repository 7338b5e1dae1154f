"""Whose data is to be looked at, whether it is late, and whose was."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from orchestrator.domains.integrations.tables import HealthRow, IntegrationRow
from orchestrator.domains.integrations.types import Lateness
from orchestrator.kernel.db import Identifier

_CLAIM = text("SELECT * FROM orchestrator.claim_due_looks(:most)").columns(
    org_id=Identifier("org"), integration_id=Identifier("int")
)


def claim_due_looks(tx: Session, *, most: int) -> list[tuple[str, str]]:
    """Claim looks that are due, of whatever organization: (organization, integration), by organization.

    Nobody else gets them for a minute, within which `note_lateness` is to say when the next look is due.
    """
    return sorted((row.org_id, row.integration_id) for row in tx.execute(_CLAIM, {"most": most}))


def hold_lateness(tx: Session, integration_ids: Sequence[str]) -> list[Lateness]:
    """What is known of these, locked until the transaction ends: no sync of theirs ends meanwhile."""
    ours = HealthRow.integration_id.in_(integration_ids)
    held = select(HealthRow.integration_id, HealthRow.late_since).where(ours).order_by(HealthRow.integration_id)
    late = {row.integration_id: row.late_since is not None for row in tx.execute(held.with_for_update())}
    there = select(IntegrationRow.id, IntegrationRow.enabled).where(
        IntegrationRow.id.in_(integration_ids), IntegrationRow.deleted_at.is_(None)
    )
    enabled = {row.id: row.enabled for row in tx.execute(there)}
    return [
        Lateness(integration_id=one, late=was, there=one in enabled, enabled=enabled.get(one, False))
        for one, was in late.items()
    ]


def note_lateness(tx: Session, integration_id: str, *, late: bool, look_at: datetime | timedelta | None) -> None:
    """Note whether its data is late, and when to look again: then, after so long, or never."""
    change = update(HealthRow).where(HealthRow.integration_id == integration_id)
    since = func.coalesce(HealthRow.late_since, func.clock_timestamp()) if late else None
    again = func.clock_timestamp() + look_at if isinstance(look_at, timedelta) else look_at
    tx.execute(change.values(late_since=since, next_look_at=again))


def look_soon(tx: Session, integration_id: str) -> None:
    """What its schedules promise may be another now."""
    change = update(HealthRow).where(HealthRow.integration_id == integration_id)
    tx.execute(change.values(next_look_at=func.clock_timestamp()))
