"""Wrapped data keys and encrypted secrets. Nothing here can be read without the master key."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from orchestrator.kernel.db import Identifier, Table


class DataKeyRow(Table):
    """A data key of one organization, wrapped by a master key."""

    __tablename__ = "vault_data_keys"
    __table_args__ = (
        CheckConstraint("state IN ('active', 'retired')", name="state"),
        UniqueConstraint("org_id", "version"),
        Index("vault_data_keys_one_active", "org_id", unique=True, postgresql_where="state = 'active'"),
    )

    org_id: Mapped[str] = mapped_column(
        Identifier("org"), ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True
    )
    id: Mapped[str] = mapped_column(Identifier("dek"), primary_key=True)
    version: Mapped[int]
    master_key_id: Mapped[str]
    wrapped: Mapped[bytes]
    state: Mapped[str] = mapped_column(server_default="active")
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class SecretRow(Table):
    """One secret value: whose it is (table, row, field), which write it was, and the blob."""

    __tablename__ = "vault_secrets"
    __table_args__ = (
        ForeignKeyConstraint(["org_id", "data_key_id"], ["vault_data_keys.org_id", "vault_data_keys.id"]),
    )

    org_id: Mapped[str] = mapped_column(
        Identifier("org"), ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True
    )
    owner_table: Mapped[str] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = mapped_column(primary_key=True)
    field: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    data_key_id: Mapped[str] = mapped_column(Identifier("dek"))
    blob: Mapped[bytes]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
