"""Finding schedules, looking ahead, and looking back at what became of their slots."""

from datetime import timedelta

from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.schedules import queries, rules
from orchestrator.domains.schedules.errors import AmbiguousScheduleError, UnknownScheduleError
from orchestrator.domains.schedules.types import Policy, Schedule, Slot, Timing, Upcoming
from orchestrator.drivers.bundle import Drivers
from orchestrator.kernel.db import Role


def find(drivers: Drivers, org_id: str, wanted: str) -> Schedule:
    """The schedule of this id or beginning of one, or the only one of the integration of this name.

    Raises UnknownScheduleError (with a suggestion), AmbiguousScheduleError.
    """
    there = integrations.listing(drivers, org_id)
    with drivers.db.transaction(org_id) as tx:
        found = queries.schedules_like(tx, wanted)
        for integration in there if not found else ():
            if wanted in {integration.name, integration.id}:
                found = queries.schedules(tx, only=[integration.id])
        every = queries.schedules(tx) if not found else []
    if not found:
        scheduled = {one.integration_id for one in every}
        bare = next((one.name for one in there if wanted in {one.name, one.id}), None)
        raise UnknownScheduleError(wanted, [one.name for one in there if one.id in scheduled], unscheduled=bare)
    if len(found) > 1:
        raise AmbiguousScheduleError(wanted, tuple(one.id for one in found))
    return found[0]


def listing(drivers: Drivers, org_id: str, *, integration_id: str | None = None) -> list[Schedule]:
    """The organization's schedules, by integration."""
    with drivers.db.transaction(org_id) as tx:
        return queries.schedules(tx, only=None if integration_id is None else [integration_id])


def slots(drivers: Drivers, schedule: Schedule, *, limit: int = 10) -> list[Slot]:
    """What became of a schedule's slots, the newest first."""
    with drivers.db.transaction(schedule.org_id) as tx:
        return queries.slots(tx, schedule.id, limit=limit)


def last_slots(drivers: Drivers, org_id: str) -> dict[str, Slot]:
    """What became of the last slot of each schedule, by its id."""
    with drivers.db.transaction(org_id) as tx:
        return queries.last_slots(tx)


def preview(drivers: Drivers, schedule: Schedule, *, most: int = 10) -> list[Upcoming]:
    """The next slots by the database's clock, with those between that a blackout window keeps from starting."""
    with drivers.db.transaction(schedule.org_id) as tx:
        now = queries.now(tx)
    return rules.upcoming(schedule, now, most)


def lag(drivers: Drivers) -> timedelta:
    """How late the scheduler is: how long the schedule has been due that is due for longest."""
    with drivers.db.anonymous(role=Role.WORKER) as tx:
        return queries.lag(tx)


def imagine(drivers: Drivers, org_id: str, timing: Timing, policy: Policy) -> Schedule:
    """A schedule as it would be if it were added now. Raises what is wrong with it."""
    with drivers.db.transaction(org_id) as tx:
        now = queries.now(tx)
    timing = rules.anchored(timing, now)
    rules.check(timing, policy, now)
    return Schedule(
        org_id=org_id,
        id="",
        integration_id="",
        timing=timing,
        policy=policy,
        streams=None,
        paused_at=None,
        next_slot=None,
        next_fire_at=None,
        created_at=now,
    )
