"""Authorised accounts at providers. Their secrets are in the vault, under this table's name and the row's id."""

from datetime import datetime

from sqlalchemy import ARRAY, CheckConstraint, ForeignKey, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from orchestrator.kernel.db import Identifier, Table


class CredentialRow(Table):
    """An account at a provider; several integrations may share it.

    token_version moves with every stored token; a refresh compares and swaps on it.
    status_reason: why the provider refused, in its words. access_refresh_at: from when a new access token is asked for.
    refresh_lease_until: somebody is asking for one until then at most. refresh_not_before: the provider asked to wait.
    """

    __tablename__ = "integration_credentials"
    __table_args__ = (CheckConstraint("status IN ('active', 'needs_reauth', 'revoked')", name="status"),)

    org_id: Mapped[str] = mapped_column(
        Identifier("org"), ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True
    )
    id: Mapped[str] = mapped_column(Identifier("cred"), primary_key=True)
    provider: Mapped[str]
    auth_type: Mapped[str | None]
    status: Mapped[str] = mapped_column(server_default="active")
    status_reason: Mapped[str | None]
    granted_scopes: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    instance_url: Mapped[str | None]
    access_expires_at: Mapped[datetime | None]
    access_refresh_at: Mapped[datetime | None]
    refresh_lease_until: Mapped[datetime | None]
    refresh_not_before: Mapped[datetime | None]
    token_version: Mapped[int] = mapped_column(server_default="0")
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
