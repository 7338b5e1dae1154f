"""Schedules and slots in words and in JSON."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.schedules import rules
from orchestrator.domains.schedules.errors import UnknownZoneError
from orchestrator.domains.schedules.types import Outcome, Schedule, Slot, Upcoming
from orchestrator.drivers.bundle import Drivers
from orchestrator.kernel.errors import InvalidConfigError

_MARKS = {
    Outcome.WAITING: "○ waiting",
    Outcome.FIRED: "● fired",
    Outcome.OVERLAPPED: "– overlapped",
    Outcome.MISSED: "⚠ missed",
    Outcome.SKIPPED: "– skipped",
}


def names(drivers: Drivers, org_id: str) -> dict[str, str]:
    """Names of the organization's integrations, of those that were deleted too."""
    there, gone = integrations.listing(drivers, org_id), integrations.listing(drivers, org_id, deleted=True)
    return {one.id: one.name for one in (*gone, *there)}


def hindrances(drivers: Drivers, org_id: str) -> dict[str, str]:
    """Why integrations start nothing at present, whatever their schedules say; by id, of those alone."""
    facts = integrations.health_facts(drivers, org_id)
    by_failures = "integration disabled by failures"
    return {
        one.id: "integration disabled" if facts[one.id].disabled_at is None else by_failures
        for one in integrations.listing(drivers, org_id)
        if not one.enabled
    }


def said(schedule: Schedule, known: Mapping[str, str]) -> str:
    """A schedule in one sentence."""
    of = known.get(schedule.integration_id, schedule.integration_id)
    return f"{of} {when(schedule, known)}" + (f", only {', '.join(schedule.streams)}" if schedule.streams else "")


def when(schedule: Schedule, known: Mapping[str, str]) -> str:
    """When it starts, in words; as it is written where nobody can read it any more."""
    try:
        return rules.described(schedule.timing, after=known.get(schedule.timing.after or "", ""))
    except InvalidConfigError:
        return f"cron {schedule.timing.cron} {schedule.timing.zone}"


def moment(at: datetime, zone: str) -> str:
    """A moment by the clocks of the schedule's zone, which is said; by UTC where there is no such zone any more."""
    try:
        local = at.astimezone(rules.zone(zone))
    except UnknownZoneError:
        local = at.astimezone(rules.zone("UTC"))
    return f"{local:%a %Y-%m-%d %H:%M}" + (f":{at.second:02}" if at.second else "") + f" {local:%Z}"


def next_start(schedule: Schedule, hindered: Mapping[str, str]) -> str:
    """When it starts next, or why not. hindered: see `hindrances`."""
    if schedule.integration_id in hindered:
        return hindered[schedule.integration_id]
    if schedule.paused_at is not None:
        return "paused"
    if schedule.retry_at is not None:
        return f"failed, again {moment(schedule.retry_at, schedule.timing.zone)}"
    if schedule.next_fire_at is None or schedule.next_slot is None:
        return "when it happens"
    if (problem := unreadable(schedule)) is not None:
        return f"⚠ {problem}"
    start, zone = schedule.next_fire_at, schedule.timing.zone
    if rules.blocked(schedule.policy, zone, start):
        later = rules.upcoming(schedule, schedule.next_slot, 1)
        start = next((one.fire_at for one in later if not one.blocked), start)
    return moment(start, zone)


def unreadable(schedule: Schedule) -> str | None:
    """Why nobody can tell any more when it starts, such as that its zone is gone; None where that can be told."""
    try:
        rules.zone(schedule.timing.zone)
        rules.slots(schedule.timing)
    except InvalidConfigError as error:
        return error.message
    return None


def failure(schedule: Schedule) -> str | None:
    """Why it can't be fired and what to do about it, where that is so."""
    problem = unreadable(schedule)
    if schedule.failure is None:
        return None if problem is None else f"{problem} Change it: orchestrator schedules edit {schedule.id}"
    todo = "a worker's log says why" if problem is None else f"change it: orchestrator schedules edit {schedule.id}"
    return f"{schedule.failure} It failed {schedule.failures} × in a row; {todo}."


def outcome(slot: Slot | None) -> str:
    """What became of a slot, in a word or two."""
    if slot is None:
        return "–"
    more = f" ×{slot.count:,}" if slot.count > 1 else ""
    return f"{_MARKS[slot.outcome]}{more}" + (f": {slot.reason}" if slot.reason else "")


def schedule_json(
    schedule: Schedule,
    known: Mapping[str, str],
    *,
    last: Slot | None = None,
    hindered: Mapping[str, str] | None = None,
    upcoming: Iterable[Upcoming] | None = None,
    slots: Iterable[Slot] | None = None,
) -> dict[str, Any]:
    """A schedule as one document."""
    timing, policy = schedule.timing, schedule.policy
    document: dict[str, Any] = {
        "id": schedule.id,
        "integration": {"id": schedule.integration_id, "name": known.get(schedule.integration_id)},
        "when": when(schedule, known),
        "cron": timing.cron,
        "every": timing.every,
        "anchor": timing.anchor,
        "after": timing.after,
        "event": timing.event,
        "zone": timing.zone,
        "streams": schedule.streams,
        "misfire": policy.misfire,
        "catch_up": policy.catch_up,
        "jitter": policy.jitter,
        "blackout": policy.blackout,
        "paused_at": schedule.paused_at,
        "hindered_by": (hindered or {}).get(schedule.integration_id),
        "next_slot": schedule.next_slot if schedule.paused_at is None else None,
        "next_fire_at": schedule.next_fire_at,
        "failures": schedule.failures,
        "failure": schedule.failure,
        "retry_at": schedule.retry_at,
        "last": None if last is None else slot_json(last),
    }
    if upcoming is not None:
        document["upcoming"] = [upcoming_json(one) for one in upcoming]
    if slots is not None:
        document["slots"] = [slot_json(one) for one in slots]
    return document


def slot_json(slot: Slot) -> dict[str, Any]:
    """What became of a slot."""
    return {
        "slot": slot.slot,
        "outcome": slot.outcome,
        "reason": slot.reason,
        "run_id": slot.run_id,
        "cause": slot.cause,
        "until": slot.until,
        "count": slot.count,
        "decided_at": slot.decided_at,
    }


def upcoming_json(one: Upcoming) -> dict[str, Any]:
    """A slot to come."""
    return {"slot": one.slot, "fire_at": one.fire_at, "blocked": one.blocked}
