"""Schedules, and what became of every slot."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    Interval,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from orchestrator.kernel.db import Identifier, Table


class ScheduleRow(Table):
    """A rule that starts syncs of an integration: by a cron expression, at an interval, or on an event.

    on_event, on_payload:  the event that starts a chained one, and what its payload must hold
    after_integration_id:  the integration whose success that is, where it is one
    next_slot:             the first slot nothing is decided about
    next_fire_at:          when to look at it: the slot and its jitter; empty where no clock starts it, or it rests
    failures, failure:     how often in a row it could not be fired for a reason nobody foresaw, and which
    retry_at:              when that is tried again; until then nothing claims it
    """

    __tablename__ = "schedules"
    __table_args__ = (
        ForeignKeyConstraint(["org_id", "integration_id"], ["integrations.org_id", "integrations.id"]),
        ForeignKeyConstraint(["org_id", "after_integration_id"], ["integrations.org_id", "integrations.id"]),
        CheckConstraint("num_nonnulls(cron, every, on_event) = 1", name="one_trigger"),
        CheckConstraint("after_integration_id IS NULL OR on_event IS NOT NULL", name="chained"),
        CheckConstraint("every IS NULL OR (every >= '1 minute' AND anchor IS NOT NULL)", name="every"),
        CheckConstraint("misfire IN ('run_once', 'skip', 'catch_up')", name="misfire"),
        CheckConstraint("catch_up BETWEEN 0 AND 100", name="catch_up"),
        CheckConstraint("num_nulls(failure, retry_at) = CASE failures WHEN 0 THEN 2 ELSE 0 END", name="failing"),
        Index("schedules_due", "next_fire_at", postgresql_where="next_fire_at IS NOT NULL"),
        Index("schedules_of_integration", "org_id", "integration_id"),
        Index("schedules_on_event", "org_id", "on_event", postgresql_where="on_event IS NOT NULL"),
    )

    org_id: Mapped[str] = mapped_column(Identifier("org"), primary_key=True)
    id: Mapped[str] = mapped_column(Identifier("sch"), primary_key=True)
    integration_id: Mapped[str] = mapped_column(Identifier("int"))
    cron: Mapped[str | None]
    every: Mapped[timedelta | None] = mapped_column(Interval)
    anchor: Mapped[datetime | None]
    on_event: Mapped[str | None]
    on_payload: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    after_integration_id: Mapped[str | None] = mapped_column(Identifier("int"))
    zone: Mapped[str]
    streams: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    misfire: Mapped[str]
    catch_up: Mapped[int] = mapped_column(server_default="0")
    jitter: Mapped[timedelta] = mapped_column(Interval, server_default="0")
    blackout: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    paused_at: Mapped[datetime | None]
    next_slot: Mapped[datetime | None]
    next_fire_at: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(server_default="0")
    failure: Mapped[str | None]
    retry_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    deleted_at: Mapped[datetime | None]


class SlotRow(Table):
    """What became of a slot. Its key is what keeps two schedulers from firing it twice.

    slot:          the moment; of a chained one, when what it waited for happened
    until, count:  where several went the same way, the last of them and how many
    cause:         the run or the event that started a chained one; each starts one slot
    """

    __tablename__ = "schedule_slots"
    __table_args__ = (
        ForeignKeyConstraint(["org_id", "schedule_id"], ["schedules.org_id", "schedules.id"]),
        ForeignKeyConstraint(["org_id", "run_id"], ["runs.org_id", "runs.id"]),
        CheckConstraint("outcome IN ('waiting', 'fired', 'overlapped', 'missed', 'skipped')", name="outcome"),
        CheckConstraint("(outcome = 'fired') = (run_id IS NOT NULL)", name="fired"),
        UniqueConstraint("org_id", "schedule_id", "cause", name="schedule_slots_cause_key"),
        Index("schedule_slots_waiting", "slot", postgresql_where="outcome = 'waiting'"),
    )

    org_id: Mapped[str] = mapped_column(Identifier("org"), primary_key=True)
    schedule_id: Mapped[str] = mapped_column(Identifier("sch"), primary_key=True)
    slot: Mapped[datetime] = mapped_column(primary_key=True)
    outcome: Mapped[str]
    reason: Mapped[str] = mapped_column(server_default="")
    run_id: Mapped[str | None] = mapped_column(Identifier("run"))
    cause: Mapped[str | None]
    until: Mapped[datetime | None]
    count: Mapped[int] = mapped_column(server_default="1")
    decided_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
