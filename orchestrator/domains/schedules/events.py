"""Facts about schedules that others may react to."""

from dataclasses import dataclass
from typing import ClassVar

from orchestrator.kernel.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleChanged(Event):
    """Somebody added, changed, paused, resumed or deleted one; `what` says which."""

    name: ClassVar[str] = "schedule.changed.v1"
    schedule_id: str
    integration_id: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleFailed(Event):
    """It could not be fired, as it can't be read or for a reason nobody foresaw; told once, until it can be again.

    retry_at:  when it is tried again, as ISO 8601
    """

    name: ClassVar[str] = "schedule.failed.v1"
    schedule_id: str
    integration_id: str
    reason: str
    retry_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotsMissed(Event):
    """Nobody was there to keep these slots; whether one run makes up for them is the schedule's policy.

    first, last:  as ISO 8601
    """

    name: ClassVar[str] = "schedule.missed.v1"
    schedule_id: str
    integration_id: str
    first: str
    last: str
    count: int
    reason: str
