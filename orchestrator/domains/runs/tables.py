"""Runs, their attempts, what they said, what they moved, and the history of every stream's state."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Interval,
    Text,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from orchestrator.kernel.db import Identifier, Table

_ACTIVE = "kind IN ('sync', 'backfill', 'dry_run') AND status IN ('queued', 'running', 'retrying', 'cancelling')"


class RunRow(Table):
    """One execution for an integration. The status lives here, the lease on the attempt.

    backfill_state:  how far a backfill is, as bookmarks by stream; the integration's own state never knows of it
    scratch_schema:  where a dry run loads; empty again once the schema is dropped
    """

    __tablename__ = "runs"
    __table_args__ = (
        ForeignKeyConstraint(["org_id", "integration_id"], ["integrations.org_id", "integrations.id"]),
        CheckConstraint("kind IN ('sync', 'backfill', 'dry_run', 'test', 'discover')", name="kind"),
        CheckConstraint(
            "status IN ('queued', 'running', 'retrying', 'cancelling',"
            " 'succeeded', 'partial', 'failed', 'cancelled', 'timed_out')",
            name="status",
        ),
        CheckConstraint(
            "CASE kind WHEN 'backfill' THEN coalesce(window_since < window_until, false)"
            " ELSE window_since IS NULL AND window_until IS NULL END",
            name="window",
        ),
        Index("runs_one_active", "org_id", "integration_id", unique=True, postgresql_where=_ACTIVE),
        Index("runs_by_integration", "org_id", "integration_id", "id"),
        Index("runs_by_status", "org_id", "status", "id"),
        Index("runs_of_integration_by_status", "org_id", "integration_id", "status", "id"),
        Index(
            "runs_unpruned", "org_id", "finished_at", postgresql_where="finished_at IS NOT NULL AND pruned_at IS NULL"
        ),
        ForeignKeyConstraint(["org_id", "retry_of"], ["runs.org_id", "runs.id"]),
        Index("runs_retry_of", "org_id", "retry_of", postgresql_where="retry_of IS NOT NULL"),
        Index("runs_scratch", "org_id", "integration_id", postgresql_where="scratch_schema IS NOT NULL"),
    )

    org_id: Mapped[str] = mapped_column(Identifier("org"), primary_key=True)
    id: Mapped[str] = mapped_column(Identifier("run"), primary_key=True)
    integration_id: Mapped[str] = mapped_column(Identifier("int"))
    kind: Mapped[str] = mapped_column(server_default="sync")
    status: Mapped[str] = mapped_column(server_default="queued")
    trigger: Mapped[str]
    streams: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    full_refresh: Mapped[bool] = mapped_column(server_default="false")
    timeout: Mapped[Any] = mapped_column(Interval)
    detached: Mapped[bool] = mapped_column(server_default="false")
    epoch: Mapped[int] = mapped_column(server_default="0")
    failure: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    requested_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    retry_of: Mapped[str | None] = mapped_column(Identifier("run"))
    pruned_at: Mapped[datetime | None]
    window_since: Mapped[datetime | None]
    window_until: Mapped[datetime | None]
    backfill_state: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    scratch_schema: Mapped[str | None]
    keep_scratch: Mapped[bool] = mapped_column(server_default="false")


class AttemptRow(Table):
    """One attempt at a run by one worker, fenced by its epoch; epoch 0 is whoever asked, until somebody claims it.

    phases: seconds by phase, once its processes have ended
    """

    __tablename__ = "run_attempts"
    __table_args__ = (
        ForeignKeyConstraint(["org_id", "run_id"], ["runs.org_id", "runs.id"]),
        Index("run_attempts_leases", "lease_until", postgresql_where="finished_at IS NULL"),
    )

    org_id: Mapped[str] = mapped_column(Identifier("org"), primary_key=True)
    run_id: Mapped[str] = mapped_column(Identifier("run"), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    worker: Mapped[str]
    lease_until: Mapped[datetime]
    started_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    finished_at: Mapped[datetime | None]
    exit_code: Mapped[int | None]
    phases: Mapped[dict[str, float] | None] = mapped_column(JSONB(none_as_null=True))


class QueueRow(Table):
    """A detached run's place among those that want a worker, from the request to its end.

    requested_at:   its place in its organization's line
    not_before:     set while it waits to be tried again
    dispatched_at:  set while it holds a slot of `worker`
    attempts:       so far, that counted; one that a draining worker gave back does not
    """

    __tablename__ = "run_queue"
    __table_args__ = (
        ForeignKeyConstraint(["org_id", "run_id"], ["runs.org_id", "runs.id"]),
        Index(
            "run_queue_waiting",
            "org_id",
            "provider",
            "requested_at",
            postgresql_where="dispatched_at IS NULL AND not_before IS NULL",
        ),
        Index("run_queue_not_before", "not_before", postgresql_where="not_before IS NOT NULL"),
        Index("run_queue_dispatched", "dispatched_at", postgresql_where="dispatched_at IS NOT NULL"),
    )

    org_id: Mapped[str] = mapped_column(Identifier("org"), primary_key=True)
    run_id: Mapped[str] = mapped_column(Identifier("run"), primary_key=True)
    provider: Mapped[str]
    requested_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    not_before: Mapped[datetime | None]
    dispatched_at: Mapped[datetime | None]
    worker: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(server_default="0")


class RetryPolicyRow(Table):
    """When an organization wants failed attempts repeated; what is empty is the operator's."""

    __tablename__ = "retry_policies"
    __table_args__ = (
        CheckConstraint("attempts BETWEEN 1 AND 20", name="attempts"),
        CheckConstraint("backoff > interval '0' AND longest > interval '0'", name="backoff"),
    )

    org_id: Mapped[str] = mapped_column(
        Identifier("org"), ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True
    )
    attempts: Mapped[int | None]
    backoff: Mapped[Any] = mapped_column(Interval, nullable=True)
    longest: Mapped[Any] = mapped_column(Interval, nullable=True)
    kinds: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    updated_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class WorkerRow(Table):
    """A process that executes detached runs; the installation's, not an organization's."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(primary_key=True)
    host: Mapped[str]
    pid: Mapped[int]
    version: Mapped[str]
    concurrency: Mapped[int]
    started_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    heartbeat_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    draining: Mapped[bool] = mapped_column(server_default="false")


class InstallationRow(Table):
    """What is true of the whole installation; one row.

    id:                 of the installation as the database has been since it was begun or confirmed
    last_turn:          the organization that was handed a slot last, after which the next turn goes on; for what hands
                        out runs alone
    cluster, database:  the Postgres it worked in, by its own identifiers; another one means a copy
    paused_at:          since when workers begin nothing, and why, until somebody says that they may
    """

    __tablename__ = "installation"
    __table_args__ = (CheckConstraint("single", name="single"),)

    single: Mapped[bool] = mapped_column(primary_key=True, server_default="true")
    id: Mapped[UUID] = mapped_column(server_default=func.gen_random_uuid())
    last_turn: Mapped[UUID | None] = mapped_column(deferred=True)  # no role may read it
    cluster: Mapped[str | None]
    database: Mapped[int | None] = mapped_column(BigInteger)
    paused_at: Mapped[datetime | None]
    paused_because: Mapped[str] = mapped_column(server_default="")


class RunTotalRow(Table):
    """What became of all runs of the installation that ended; a trigger counts each as it ends, and nothing goes.

    failure_kind, failure_origin:  empty where nothing failed
    records, bytes:                integers without a bound, since what a plugin says it moved is added up for ever
    """

    __tablename__ = "run_totals"

    connector: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    status: Mapped[str] = mapped_column(primary_key=True)
    failure_kind: Mapped[str] = mapped_column(primary_key=True)
    failure_origin: Mapped[str] = mapped_column(primary_key=True)
    runs: Mapped[int] = mapped_column(BigInteger)
    seconds: Mapped[float]
    records_read: Mapped[Decimal]
    records_written: Mapped[Decimal]
    records_deleted: Mapped[Decimal]
    bytes: Mapped[Decimal]


class RunStreamRow(Table):
    """What one run moved of one stream."""

    __tablename__ = "run_streams"
    __table_args__ = (
        ForeignKeyConstraint(["org_id", "run_id"], ["runs.org_id", "runs.id"]),
        Index(
            "run_streams_that_wrote",
            "org_id",
            "stream",
            postgresql_include=["run_id"],
            postgresql_where="records_written > 0",
        ),
    )

    org_id: Mapped[str] = mapped_column(Identifier("org"), primary_key=True)
    run_id: Mapped[str] = mapped_column(Identifier("run"), primary_key=True)
    stream: Mapped[str] = mapped_column(primary_key=True)
    records_read: Mapped[int] = mapped_column(BigInteger, server_default="0")
    records_written: Mapped[int] = mapped_column(BigInteger, server_default="0")
    records_deleted: Mapped[int] = mapped_column(BigInteger, server_default="0")
    records_rejected: Mapped[int | None] = mapped_column(BigInteger)
    bytes: Mapped[int | None] = mapped_column(BigInteger)
    seconds: Mapped[float] = mapped_column(server_default="0")
    api_calls: Mapped[int | None] = mapped_column(BigInteger)


class LoaderNotesRow(Table):
    """What an integration's loader noted at the end of a run, for its next one; what it says is the loader's affair."""

    __tablename__ = "loader_notes"
    __table_args__ = (ForeignKeyConstraint(["org_id", "integration_id"], ["integrations.org_id", "integrations.id"]),)

    org_id: Mapped[str] = mapped_column(Identifier("org"), primary_key=True)
    integration_id: Mapped[str] = mapped_column(Identifier("int"), primary_key=True)
    notes: Mapped[str]
    run_id: Mapped[str] = mapped_column(Identifier("run"))
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class RunLogRow(Table):
    """A line a run said, redacted, in order."""

    __tablename__ = "integration_sync_logs"
    __table_args__ = (
        ForeignKeyConstraint(["org_id", "run_id"], ["runs.org_id", "runs.id"]),
        Index("integration_sync_logs_of_run", "org_id", "run_id", "id"),
    )

    org_id: Mapped[str] = mapped_column(Identifier("org"), primary_key=True)
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    run_id: Mapped[str] = mapped_column(Identifier("run"))
    at: Mapped[datetime]
    level: Mapped[str]
    source: Mapped[str]
    message: Mapped[str]


class StreamStateRow(Table):
    """A stream's bookmark as it was at some time; append-only, the latest counts; NULL means from the start."""

    __tablename__ = "stream_states"
    __table_args__ = (
        ForeignKeyConstraint(["org_id", "integration_id"], ["integrations.org_id", "integrations.id"]),
        CheckConstraint("reason IN ('run', 'rollback', 'reset')", name="reason"),
        Index("stream_states_of_integration", "org_id", "integration_id", "stream", "id"),
    )

    org_id: Mapped[str] = mapped_column(Identifier("org"), primary_key=True)
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    integration_id: Mapped[str] = mapped_column(Identifier("int"))
    stream: Mapped[str]
    bookmark: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    reason: Mapped[str]
    run_id: Mapped[str | None] = mapped_column(Identifier("run"))
    epoch: Mapped[int | None]
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
