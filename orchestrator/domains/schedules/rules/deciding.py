"""What becomes of the slots of a schedule whose time has come. The database's clock says `now`."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from orchestrator.domains.schedules.rules.policy import blocked, delayed
from orchestrator.domains.schedules.rules.slots import Slots, first, newest, slots
from orchestrator.domains.schedules.types import (
    Due,
    Misfire,
    Outcome,
    Schedule,
    Slot,
    Timing,
    Upcoming,
    Verdict,
)

_FIRST_HOLD, _LONGEST_HOLD = timedelta(minutes=1), timedelta(hours=1)
GRACE = timedelta(minutes=2)  # how late a start may be and still count as on time: a scheduler restarts within it
_INSTANT = timedelta(microseconds=1)

TOO_LATE = "too late"
IN_BLACKOUT = "blackout"
NOT_ENABLED = "integration disabled or deleted"
ONE_FOR_ALL = "one run for all that were missed"
OUT_OF_REACH = "older than what is caught up"
PAUSED = "paused"
A_LATER_ONE = "a later one runs"
BUSY = "a run was under way"


def anchored(timing: Timing, now: datetime) -> Timing:
    """An interval without an anchor counts from this minute on."""
    if timing.every is None or timing.anchor is not None:
        return timing
    return replace(timing, anchor=now.replace(second=0, microsecond=0))


def starting(schedule: Schedule, now: datetime) -> tuple[datetime | None, datetime | None]:
    """The first slot later than `now`, and when it starts."""
    of = slots(schedule.timing)
    return (None, None) if of is None else _next(schedule, of, now)


def _next(schedule: Schedule, of: Slots, after: datetime) -> tuple[datetime, datetime]:
    slot = first(of, after)
    return slot, delayed(schedule.id, schedule.policy, slot)


def decide(due: Due, now: datetime) -> Verdict:
    """About a schedule by the clock: which slot fires, what is recorded of the others, where it goes on."""
    schedule = due.schedule
    of, begin = slots(schedule.timing), schedule.next_slot
    if of is None or begin is None:  # pragma: no cover - only schedules by the clock have a next_fire_at
        raise ValueError(f"{schedule.id} has no clock")
    coming = _next(schedule, of, begin)
    if coming[1] > now:
        latest = begin
    else:
        latest = _latest(schedule, of, now)
        coming = _next(schedule, of, latest)
    recorded, fire = _kept(due, of, latest, now)
    return Verdict(slots=tuple(recorded), fire=fire, next_slot=coming[0], next_fire_at=coming[1])


def _latest(schedule: Schedule, of: Slots, now: datetime) -> datetime:
    """The newest slot whose start has come."""
    begin = schedule.next_slot or now
    found = newest(of, begin - _INSTANT, now, 2)
    started = [slot for slot in found if delayed(schedule.id, schedule.policy, slot) <= now]
    return started[-1] if started else begin


def _kept(due: Due, of: Slots, latest: datetime, now: datetime) -> tuple[list[Slot], datetime | None]:
    """What to record of the slots until `latest`, and the one to fire."""
    schedule, policy = due.schedule, due.schedule.policy
    begin = schedule.next_slot or latest
    start = delayed(schedule.id, policy, latest)
    late = now - start > GRACE
    obstacle = hindrance(due, now if late else start)
    if obstacle is not None:
        return spent(schedule, begin, latest, Outcome.SKIPPED, obstacle), None
    if policy.misfire is Misfire.SKIP and late:
        return spent(schedule, begin, latest, Outcome.MISSED, TOO_LATE), None
    if policy.misfire is Misfire.CATCH_UP and (late or begin != latest):
        kept = newest(of, begin - _INSTANT, latest, policy.catch_up)
        recorded = spent(schedule, begin, kept[0] - _INSTANT, Outcome.MISSED, OUT_OF_REACH)
        return [*recorded, *(_slot(schedule, slot, Outcome.WAITING) for slot in kept)], None
    recorded = spent(schedule, begin, latest - _INSTANT, Outcome.MISSED, ONE_FOR_ALL)
    return [*recorded, _slot(schedule, latest, Outcome.WAITING)], latest


def hindrance(due: Due, moment: datetime) -> str | None:
    """Why nothing may start at this moment; None where it may."""
    if not due.startable:
        return NOT_ENABLED
    schedule = due.schedule
    return IN_BLACKOUT if blocked(schedule.policy, schedule.timing.zone, moment) else None


def spent(schedule: Schedule, begin: datetime, until: datetime, outcome: Outcome, reason: str) -> list[Slot]:
    """One record for all slots from `begin` until `until`; none where there are none."""
    of = slots(schedule.timing)
    count = 0 if of is None else of.count(begin - _INSTANT, until)
    if of is None or count == 0:
        return []
    [last] = newest(of, begin - _INSTANT, until, 1)
    one = count == 1
    return [
        Slot(
            org_id=schedule.org_id,
            schedule_id=schedule.id,
            slot=last if one else first(of, begin - _INSTANT),
            outcome=outcome,
            reason=reason,
            until=None if one else last,
            count=count,
        )
    ]


def _slot(schedule: Schedule, slot: datetime, outcome: Outcome, reason: str = "") -> Slot:
    return Slot(org_id=schedule.org_id, schedule_id=schedule.id, slot=slot, outcome=outcome, reason=reason)


def decide_waiting(waiting: Sequence[Due], now: datetime) -> tuple[list[Slot], Due | None]:
    """About slots of one schedule that waited until its integration was free: what is settled, and which one fires.

    The newest does: it reads what all of them would have read. Caught up ones run one by one, the oldest first.
    """
    in_order = sorted(waiting, key=lambda one: one.waiting or now)
    schedule = in_order[0].schedule
    obstacle = hindrance(in_order[0], now)
    if obstacle is not None:
        return [settled(one, Outcome.SKIPPED, obstacle) for one in in_order], None
    if schedule.policy.misfire is Misfire.CATCH_UP:
        given_up, kept = in_order[: -schedule.policy.catch_up], in_order[-schedule.policy.catch_up :]
        return [settled(one, Outcome.MISSED, OUT_OF_REACH) for one in given_up], kept[0]
    return [settled(one, Outcome.OVERLAPPED, A_LATER_ONE) for one in in_order[:-1]], in_order[-1]


def held_back(failures: int) -> timedelta:
    """How long a schedule that failed, after so many times before, is left alone: twice as long each time."""
    return min(_FIRST_HOLD * int(2 ** min(failures, 10)), _LONGEST_HOLD)


def covered(schedule: Schedule, streams: Sequence[str] | None) -> bool:
    """Whether a slot can go while a run of these streams is under way; else it waits, and runs after it.

    It waits where the run leaves out streams that it would read, where what it is chained to has just happened, and
    where every slot counts.
    """
    if not schedule.timing.by_clock or schedule.policy.misfire is Misfire.CATCH_UP:
        return False
    if schedule.policy.misfire is Misfire.SKIP or streams is None:
        return True
    return schedule.streams is not None and set(schedule.streams) <= set(streams)


def settled(due: Due, outcome: Outcome, reason: str = "", *, run_id: str | None = None) -> Slot:
    """What became of a slot that waited, if only for this moment."""
    schedule, slot = due.schedule, due.waiting or due.schedule.created_at
    return Slot(
        org_id=schedule.org_id, schedule_id=schedule.id, slot=slot, outcome=outcome, reason=reason, run_id=run_id
    )


def circle(there: Sequence[Schedule], started: str, after: str) -> list[str]:
    """The integrations that would start each other if this one started after that one; empty where chains end."""
    starts: dict[str, list[str]] = {}
    for one in there:
        if one.timing.after is not None:
            starts.setdefault(one.timing.after, []).append(one.integration_id)
    ways = [[after, started]]
    seen: set[str] = set()
    while ways:
        way = ways.pop()
        if way[-1] == after:
            return way
        if way[-1] not in seen:
            seen.add(way[-1])
            ways += [[*way, one] for one in starts.get(way[-1], ())]
    return []


def broadest_first(due: Due) -> tuple[bool, int, datetime]:
    """Order in which schedules of one integration get its run: who reads everything comes first."""
    streams = due.schedule.streams
    return (streams is not None, -len(streams or ()), due.waiting or due.schedule.created_at)


def upcoming(schedule: Schedule, after: datetime, most: int) -> list[Upcoming]:
    """The next slots that will start something, with those that a blackout window keeps from it between them."""
    of, found = slots(schedule.timing), list[Upcoming]()
    if of is None:
        return found
    for slot in of.walk(after):
        start = delayed(schedule.id, schedule.policy, slot)
        shut = blocked(schedule.policy, schedule.timing.zone, start)
        if not shut or not found or not found[-1].blocked:  # of a row of blocked ones, the first
            found.append(Upcoming(slot=slot, fire_at=start, blocked=shut))
        if sum(not one.blocked for one in found) >= most or len(found) >= 2 * most:
            break
    return found
