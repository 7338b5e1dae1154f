"""Schedules as values: when, of what, what happens to slots that can't be kept, and what became of each slot."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class Misfire(StrEnum):
    """What happens to slots whose time went by while nobody looked."""

    RUN_ONCE = "run_once"
    SKIP = "skip"
    CATCH_UP = "catch_up"


class Outcome(StrEnum):
    """What became of a slot; only `waiting` may still change."""

    WAITING = "waiting"
    FIRED = "fired"
    OVERLAPPED = "overlapped"
    MISSED = "missed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When: exactly one of the first four is set.

    cron:    five fields or @daily and its like, by the clocks of `zone`
    every:   an interval, counted from `anchor`
    after:   id of the integration whose success starts this one
    event:   name of an event that starts it, such as integration.tested.v1
    """

    cron: str | None = None
    every: timedelta | None = None
    after: str | None = None
    event: str | None = None
    anchor: datetime | None = None
    zone: str = "UTC"

    @property
    def by_clock(self) -> bool:
        """Whether time alone says when; else something that happens does."""
        return self.cron is not None or self.every is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How a schedule's slots are kept.

    catch_up:  with Misfire.CATCH_UP, how many of the newest missed slots still run, one after another
    jitter:    the longest delay of a start; each slot's own is always the same
    blackout:  weekly windows in the schedule's zone, in which nothing starts: "mon-fri 08:00-18:00"
    """

    misfire: Misfire = Misfire.RUN_ONCE
    catch_up: int = 0
    jitter: timedelta = timedelta(0)
    blackout: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One rule that starts syncs of one integration. `next_slot` and `next_fire_at` are None while it waits or rests.

    streams:   only these; None means the selected ones
    failures:  how often in a row it could not be fired: it can't be read any more, or for a reason nobody foresaw
    failure:   that reason, as a sentence; None where all is well
    retry_at:  when it is tried again
    """

    org_id: str
    id: str
    integration_id: str
    timing: Timing
    policy: Policy
    streams: tuple[str, ...] | None
    paused_at: datetime | None
    next_slot: datetime | None
    next_fire_at: datetime | None
    created_at: datetime
    failures: int = 0
    failure: str | None = None
    retry_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A moment a schedule named, and what became of it.

    until, count:  where several went the same way, the last of them and how many
    cause:         the run or the event that started a chained one
    """

    org_id: str
    schedule_id: str
    slot: datetime
    outcome: Outcome
    reason: str = ""
    run_id: str | None = None
    cause: str | None = None
    until: datetime | None = None
    count: int = 1
    decided_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A schedule whose time has come, locked until the transaction ends.

    provider:   whose limits its runs are under
    startable:  whether its integration may run at all: neither deleted nor disabled
    waiting:    the slot that waited until the integration was free; None where the clock says it
    """

    schedule: Schedule
    provider: str
    startable: bool
    waiting: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is decided about a due schedule: slots to record, the one to fire among them, and where it goes on."""

    slots: tuple[Slot, ...]
    fire: datetime | None
    next_slot: datetime | None
    next_fire_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fired:
    """What one tick of the scheduler settled; counts of slots."""

    fired: int = 0
    overlapped: int = 0
    missed: int = 0
    skipped: int = 0

    def __add__(self, other: "Fired") -> "Fired":
        return Fired(
            fired=self.fired + other.fired,
            overlapped=self.overlapped + other.overlapped,
            missed=self.missed + other.missed,
            skipped=self.skipped + other.skipped,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What a schedule promises: that a sync has succeeded by `due` which began at its slot or later.

    as_of:  when the newest sync began that succeeded with its streams; None where none has
    """

    schedule: Schedule
    due: datetime
    late: bool
    as_of: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Upcoming:
    """A slot to come, and with its jitter; `blocked` where a blackout window keeps it from starting."""

    slot: datetime
    fire_at: datetime
    blocked: bool
