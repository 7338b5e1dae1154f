"""Organizations and workspaces."""

from datetime import datetime

from sqlalchemy import ForeignKey, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from orchestrator.kernel.db import Identifier, Table


class OrganizationRow(Table):
    """A tenant. Everything else carries its id."""

    __tablename__ = "organizations"

    id: Mapped[str] = mapped_column(Identifier("org"), primary_key=True)
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class WorkspaceRow(Table):
    """A folder of integrations within an organization."""

    __tablename__ = "workspaces"
    __table_args__ = (UniqueConstraint("org_id", "slug"),)

    org_id: Mapped[str] = mapped_column(
        Identifier("org"), ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True
    )
    id: Mapped[str] = mapped_column(Identifier("wsp"), primary_key=True)
    slug: Mapped[str]
    name: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
