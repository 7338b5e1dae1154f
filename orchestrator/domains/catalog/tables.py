"""What is offered here: the connector files, as the database last saw them, and the operator's own switches."""

from datetime import datetime

from sqlalchemy import CheckConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from orchestrator.kernel.db import Table


class ProviderRow(Table):
    """A connector on offer; synced from its file, except `available` and `plan`, which are the operator's."""

    __tablename__ = "integration_providers"
    __table_args__ = (
        CheckConstraint("status IN ('available', 'beta', 'coming_soon', 'deprecated')", name="status"),
        CheckConstraint("kind IN ('source', 'destination')", name="kind"),
    )

    name: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    title: Mapped[str]
    publisher: Mapped[str]
    category: Mapped[str]
    description: Mapped[str]
    status: Mapped[str]
    plan: Mapped[str] = mapped_column(server_default="free")
    available: Mapped[bool] = mapped_column(server_default="true")
    file_sha256: Mapped[str]
    synced_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
