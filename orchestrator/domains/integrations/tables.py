"""Integrations, where they load to, and the streams each has."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ARRAY, JSON, CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, Interval, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from orchestrator.kernel.db import Identifier, Table


class DestinationRow(Table):
    """Where records go. Its secrets are in the vault, under this table's name and the row's id."""

    __tablename__ = "destinations"
    __table_args__ = (Index("destinations_name", "org_id", "name", unique=True, postgresql_where="deleted_at IS NULL"),)

    org_id: Mapped[str] = mapped_column(
        Identifier("org"), ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True
    )
    id: Mapped[str] = mapped_column(Identifier("dst"), primary_key=True)
    type: Mapped[str]
    variant: Mapped[str]
    name: Mapped[str]
    config: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    deleted_at: Mapped[datetime | None]


class IntegrationRow(Table):
    """A configured connector. `config` holds what is not secret; secrets are the credential's, in the vault.

    `in_warehouse` says that it loads into the installation's own warehouse, where no two integrations of whatever
    organizations share a schema. Only drafts can be deleted, and only while nothing has run.
    """

    __tablename__ = "integrations"
    __table_args__ = (
        ForeignKeyConstraint(["org_id", "workspace_id"], ["workspaces.org_id", "workspaces.id"]),
        ForeignKeyConstraint(
            ["org_id", "credential_id"], ["integration_credentials.org_id", "integration_credentials.id"]
        ),
        ForeignKeyConstraint(["org_id", "destination_id"], ["destinations.org_id", "destinations.id"]),
        CheckConstraint(
            "setup_state IN ('draft', 'pending_auth', 'connected', 'needs_reauth', 'disconnected', 'revoked')",
            name="setup_state",
        ),
        CheckConstraint("health IN ('unknown', 'healthy', 'degraded', 'failing')", name="health"),
        Index(
            "integrations_name", "org_id", "workspace_id", "name", unique=True, postgresql_where="deleted_at IS NULL"
        ),
        Index("integrations_schema", "org_id", "destination_id", "target_schema", unique=True),
        Index("integrations_warehouse_schema", "target_schema", unique=True, postgresql_where="in_warehouse"),
    )

    org_id: Mapped[str] = mapped_column(
        Identifier("org"), ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True
    )
    id: Mapped[str] = mapped_column(Identifier("int"), primary_key=True)
    workspace_id: Mapped[str] = mapped_column(Identifier("wsp"))
    type: Mapped[str]
    variant: Mapped[str]
    name: Mapped[str]
    config: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    credential_id: Mapped[str] = mapped_column(Identifier("cred"))
    destination_id: Mapped[str] = mapped_column(Identifier("dst"))
    target_schema: Mapped[str]
    in_warehouse: Mapped[bool]
    setup_state: Mapped[str] = mapped_column(server_default="draft")
    enabled: Mapped[bool] = mapped_column(server_default="true")
    health: Mapped[str] = mapped_column(server_default="unknown")
    tested_at: Mapped[datetime | None]
    discovered_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    deleted_at: Mapped[datetime | None]


class StreamRow(Table):
    """A stream found by discovery, and what was chosen of it."""

    __tablename__ = "integration_streams"
    __table_args__ = (
        ForeignKeyConstraint(
            ["org_id", "integration_id"], ["integrations.org_id", "integrations.id"], ondelete="CASCADE"
        ),
        CheckConstraint("mode IN ('incremental', 'full_table', 'log_based')", name="mode"),
    )

    org_id: Mapped[str] = mapped_column(Identifier("org"), primary_key=True)
    integration_id: Mapped[str] = mapped_column(Identifier("int"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    selected: Mapped[bool] = mapped_column(server_default="false")
    mode: Mapped[str]
    deselected_fields: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    entry: Mapped[dict[str, Any]] = mapped_column(JSON)
    discovered_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    gone_at: Mapped[datetime | None]


class HealthRow(Table):
    """What is known of an integration's health; the word for it is the integration's own. A trigger adds the row.

    last:                  how the newest run ended; empty where none has since it was added or enabled
    failures, unmended:    see HealthFacts
    trouble:               of the newest run, where it didn't succeed
    check_trouble:         what the newest check found wrong; empty once a sync got through
    check_every:           between checks; empty: the installation's; 0: never
    disable_after:         failures a person must mend; empty: the installation's; 0: never
    late_since:            when it was noticed that its data is late; empty where it isn't
    next_look_at:          when to look whether that is another; empty where nothing promises anything
    """

    __tablename__ = "integration_health"
    __table_args__ = (
        ForeignKeyConstraint(
            ["org_id", "integration_id"], ["integrations.org_id", "integrations.id"], ondelete="CASCADE"
        ),
        CheckConstraint("last IN ('succeeded', 'partial', 'failed')", name="last"),
        CheckConstraint("check_every >= interval '0'", name="check_every"),
        CheckConstraint("disable_after = 0 OR disable_after >= 2", name="disable_after"),
        Index("integration_health_next_check", "next_check_at"),
        Index("integration_health_next_look", "next_look_at"),
        Index("integration_health_of_org", "org_id", "next_check_at"),
    )

    org_id: Mapped[str] = mapped_column(Identifier("org"), primary_key=True)
    integration_id: Mapped[str] = mapped_column(Identifier("int"), primary_key=True)
    last: Mapped[str | None]
    failures: Mapped[int] = mapped_column(server_default="0")
    unmended: Mapped[int] = mapped_column(server_default="0")
    trouble: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    check_trouble: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    last_success_at: Mapped[datetime | None]
    checked_at: Mapped[datetime | None]
    next_check_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp() + interval '1 hour'"))
    warned_at: Mapped[datetime | None]
    disabled_at: Mapped[datetime | None]
    check_every: Mapped[timedelta | None] = mapped_column(Interval)
    disable_after: Mapped[int | None]
    late_since: Mapped[datetime | None]
    next_look_at: Mapped[datetime | None]
