from datetime import timedelta

from orchestrator.domains.runs import service as runs
from orchestrator.domains.schedules import service
from orchestrator.domains.schedules.types import Fired

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def test_nothing_is_fired_before_its_time(drivers, integration, schedule):
    schedule(integration("A"))
    assert service.fire_due(drivers) == Fired()
    assert runs.listing(drivers, integration("B").org_id) == []


def test_a_slot_whose_time_has_come_queues_one_run_and_the_schedule_goes_on(
    drivers, place, integration, schedule, clock, outcomes
):
    there = integration("A")
    added = schedule(there)
    clock.by(HOUR)
    assert service.fire_due(drivers) == Fired(fired=1)
    assert service.fire_due(drivers) == Fired()
    [run] = runs.listing(drivers, place.org_id)
    assert (run.integration_id, run.trigger, run.streams) == (there.id, "schedule", None)
    [slot] = service.slots(drivers, added)
    assert (slot.outcome.value, slot.run_id) == ("fired", run.id)
    again = service.find(drivers, place.org_id, added.id)
    assert again.next_slot - slot.slot == HOUR
