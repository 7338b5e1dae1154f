"""Facts, past tense and versioned, written in the transaction that made them true (the outbox).

Delivery is at least once and comes with the subscribers; until then the table is the record of what happened.
"""

import dataclasses
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, Session, mapped_column

from orchestrator.kernel.db import Identifier, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A fact others may react to: ids and plain values, never a secret."""

    name: ClassVar[str]
    org_id: str


class EventRow(Table):
    """The outbox; one row an event, in the order of their ids."""

    __tablename__ = "events"

    org_id: Mapped[str] = mapped_column(Identifier("org"), primary_key=True)
    id: Mapped[str] = mapped_column(Identifier("evt"), primary_key=True)
    name: Mapped[str]
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


def emit(tx: Session, event: Event) -> None:
    """Record the fact together with what made it true."""
    from orchestrator.kernel import ids

    payload = dataclasses.asdict(event)
    org_id = payload.pop("org_id")
    tx.add(EventRow(org_id=org_id, id=ids.new("evt"), name=event.name, payload=payload))
