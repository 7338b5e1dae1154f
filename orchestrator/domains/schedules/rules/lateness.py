"""Whether what a schedule promises is there: data no older than its slots say."""

from datetime import datetime, timedelta

from orchestrator.domains.schedules.rules.deciding import upcoming
from orchestrator.domains.schedules.types import Schedule


def promised(schedule: Schedule, *, last_began: datetime | None, took: timedelta, grace: timedelta) -> datetime | None:
    """When its next success is to be there at the latest; data is late from then on. None where it promises nothing.

    A slot is kept by a sync that began at or after it. The first one after the newest such sync is the one that is
    waited for; it may take as long as the last sync did, and the grace. One that rests, or that no clock starts,
    promises nothing of its own; neither does a slot in a blackout.

    last_began:  when the newest sync that succeeded and read all its streams began; None where there was none
    took:        how long that one took
    """
    if schedule.paused_at is not None or not schedule.timing.by_clock:
        return None
    since = schedule.created_at if last_began is None else max(last_began, schedule.created_at)
    waited_for = next((one for one in upcoming(schedule, since, 1) if not one.blocked), None)
    return None if waited_for is None else waited_for.fire_at + took + grace


def promised_last(
    schedule: Schedule, *, last_began: datetime | None, took: timedelta, grace: timedelta
) -> datetime | None:
    """The same of a schedule that nobody can read any more: the start that it named last is waited for.

    Where that was kept, nobody knows the next; data is late then as soon as it could be, since nothing renews it.
    """
    if schedule.paused_at is not None or not schedule.timing.by_clock:
        return None
    known = (schedule.next_fire_at, last_began, schedule.created_at)
    return max(one for one in known if one is not None) + took + grace
