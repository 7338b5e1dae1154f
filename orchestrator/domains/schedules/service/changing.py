"""Adding schedules, changing them, letting them rest."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.errors import UnknownStreamError
from orchestrator.domains.integrations.events import IntegrationChanged, IntegrationTested
from orchestrator.domains.integrations.types import Integration
from orchestrator.domains.runs.events import StateChanged
from orchestrator.domains.schedules import queries, rules
from orchestrator.domains.schedules.errors import ChainCycleError, UnknownEventError, UnknownScheduleError
from orchestrator.domains.schedules.events import ScheduleChanged
from orchestrator.domains.schedules.types import Outcome, Policy, Schedule, Timing
from orchestrator.drivers.bundle import Drivers
from orchestrator.kernel import ids
from orchestrator.kernel.events import emit

# What people cause: an event of a run would start the next one, and so on for ever.
EVENTS = tuple(event.name for event in (IntegrationChanged, IntegrationTested, StateChanged))
_DELETED = "schedule deleted"


def add(
    drivers: Drivers, integration: Integration, timing: Timing, policy: Policy, *, streams: Sequence[str] | None = None
) -> Schedule:
    """Start syncs of an integration by themselves from now on.

    Raises the errors of this domain that say what is wrong with it, UnknownStreamError.
    """
    _check(drivers, integration, timing, streams)
    names = _names(drivers, integration, timing)
    with drivers.db.transaction(integration.org_id) as tx:
        _refuse_circle(tx, integration, timing, names)
        now = queries.now(tx)
        timing = rules.anchored(timing, now)
        rules.check(timing, policy, now)
        added = queries.insert_schedule(
            tx, integration.org_id, ids.new("sch"), integration.id, timing=timing, policy=policy, streams=streams
        )
        return _started(tx, added, now, "added")


def edit(
    drivers: Drivers, schedule: Schedule, timing: Timing, policy: Policy, *, streams: Sequence[str] | None = None
) -> Schedule:
    """Replace its rule; it goes on with the first slot of the new one that is still to come. Raises what `add` does."""
    integration = integrations.find(drivers, schedule.org_id, schedule.integration_id)
    _check(drivers, integration, timing, streams)
    names = _names(drivers, integration, timing)
    with drivers.db.transaction(schedule.org_id) as tx:
        _refuse_circle(tx, integration, timing, names, without=schedule.id)
        held = _held(tx, schedule)
        now = queries.now(tx)
        timing = rules.anchored(timing, now)
        rules.check(timing, policy, now)
        changed = queries.update_schedule(tx, held, timing=timing, policy=policy, streams=streams)
        return _started(tx, changed, now, "rule")


def pause(drivers: Drivers, schedule: Schedule) -> Schedule:
    """Start nothing until it is resumed; what waited is skipped. Harmless where it rests already."""
    with drivers.db.transaction(schedule.org_id) as tx:
        held = _held(tx, schedule)
        if held.paused_at is not None:
            return held
        queries.skip_waiting(tx, held.id, reason=rules.PAUSED)
        _announce(tx, held, "paused")
        return queries.pause(tx, held.id)


def resume(drivers: Drivers, schedule: Schedule) -> Schedule:
    """Go on with the next slot; those it rested through are recorded as skipped. Harmless where it goes on anyway."""
    with drivers.db.transaction(schedule.org_id) as tx:
        held = _held(tx, schedule)
        if held.paused_at is None:
            return held
        now = queries.now(tx)
        if held.next_slot is not None:
            rested = rules.spent(held, held.next_slot, now, Outcome.SKIPPED, rules.PAUSED)
            queries.insert_slots(tx, rested)
        return _started(tx, queries.resume(tx, held.id), now, "resumed")


def delete(drivers: Drivers, schedule: Schedule) -> None:
    """Start nothing any more; what became of its slots is kept."""
    with drivers.db.transaction(schedule.org_id) as tx:
        held = _held(tx, schedule)
        queries.skip_waiting(tx, held.id, reason=_DELETED)
        _announce(tx, queries.mark_deleted(tx, held.id), "deleted")


def _held(tx: Session, schedule: Schedule) -> Schedule:
    held = queries.hold(tx, schedule.id)
    if held is None:
        raise UnknownScheduleError(schedule.id, ())
    return held


def _started(tx: Session, schedule: Schedule, now: datetime, what: str) -> Schedule:
    """With the next slot later than `now`; one that rests stays at rest."""
    _announce(tx, schedule, what)
    slot, start = rules.starting(schedule, now)
    return queries.move(tx, schedule.id, next_slot=slot, next_fire_at=None if schedule.paused_at else start)


def _announce(tx: Session, schedule: Schedule, what: str) -> None:
    integrations.look_soon(tx, schedule.integration_id)
    emit(
        tx,
        ScheduleChanged(
            org_id=schedule.org_id, schedule_id=schedule.id, integration_id=schedule.integration_id, what=what
        ),
    )


def _check(drivers: Drivers, integration: Integration, timing: Timing, streams: Sequence[str] | None) -> None:
    """What rules alone can't see: whether streams and events exist."""
    if timing.event is not None and timing.event not in EVENTS:
        raise UnknownEventError(timing.event, EVENTS)
    known = [stream.name for stream in integrations.streams(drivers, integration)] if streams else []
    for name in streams or ():
        if name not in known:
            raise UnknownStreamError(name, known)


def _names(drivers: Drivers, integration: Integration, timing: Timing) -> Mapping[str, str]:
    """What integrations are called, where a chain is to be told."""
    if timing.after is None:
        return {}
    return {one.id: one.name for one in integrations.listing(drivers, integration.org_id)}


def _refuse_circle(
    tx: Session, integration: Integration, timing: Timing, names: Mapping[str, str], *, without: str = ""
) -> None:
    """Chains must end. Two that each would end, but not both, come one after the other: the second is refused."""
    if timing.after is None:
        return
    queries.hold_chains(tx, integration.org_id)
    there = [one for one in queries.schedules(tx) if one.id != without]
    circle = rules.circle(there, integration.id, timing.after)
    if circle:
        raise ChainCycleError(names.get(one, one) for one in circle)
