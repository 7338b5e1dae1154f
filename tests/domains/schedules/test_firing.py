"""What is due is fired once, by the database's clock and each schedule's policy."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.domains.runs import service as runs
from orchestrator.domains.schedules import service
from orchestrator.domains.schedules.types import Fired, Misfire, Policy, Timing
from tests.domains.schedules.acts import queued

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def test_nothing_is_fired_before_its_time(drivers, place, integration, schedule):
    schedule(integration("A"))
    assert service.fire_due(drivers) == Fired()
    assert queued(drivers, place.org_id) == []


def test_a_slot_whose_time_has_come_queues_one_run_and_the_schedule_goes_on(
    drivers, place, integration, schedule, clock
):
    there = integration("A")
    added = schedule(there)
    clock.by(HOUR)
    assert service.fire_due(drivers) == Fired(fired=1)
    assert service.fire_due(drivers) == Fired()
    [run] = queued(drivers, place.org_id)
    assert (run.integration_id, run.trigger, run.streams) == (there.id, "schedule", None)
    [slot] = service.slots(drivers, added)
    assert (slot.outcome.value, slot.run_id) == ("fired", run.id)
    again = service.find(drivers, place.org_id, added.id)
    assert again.next_slot - slot.slot == HOUR


def test_what_is_due_is_said_by_the_databases_clock_alone(drivers, integration, schedule, clock, monkeypatch):
    schedule(integration("A"))

    for ahead in (timedelta(days=2), timedelta(minutes=5), timedelta(minutes=-5)):
        wrong = time.time() + ahead.total_seconds()
        monkeypatch.setattr("time.time", lambda wrong=wrong: wrong)
        monkeypatch.setattr("time.time_ns", lambda wrong=wrong: int(wrong * 1e9))
        assert service.fire_due(drivers) == Fired()
    clock.by(HOUR)
    assert service.fire_due(drivers) == Fired(fired=1)


def test_a_slot_is_recorded_as_overlapped_where_its_own_work_is_under_way(
    drivers, integration, schedule, clock, outcomes
):
    added = schedule(integration("A"))
    clock.by(HOUR)
    service.fire_due(drivers)
    clock.by(HOUR)
    assert service.fire_due(drivers) == Fired(overlapped=1)
    assert [one[0] for one in outcomes(added)] == ["fired", "overlapped"]


def test_a_slot_waits_for_a_run_that_leaves_out_what_it_would_read(drivers, place, ready, schedule, clock, outcomes):
    users = schedule(ready, streams=["users"])
    everything = schedule(ready)
    clock.by(HOUR, users)
    service.fire_due(drivers)
    clock.by(HOUR, everything)
    assert service.fire_due(drivers) == Fired()
    assert outcomes(everything) == [("waiting", "", 1)]
    clock.end_runs()
    assert service.fire_due(drivers) == Fired(fired=1)
    assert [run.streams for run in queued(drivers, place.org_id)] == [None]


def test_of_schedules_of_one_integration_at_the_same_time_the_broadest_gets_the_run(
    drivers, place, ready, schedule, clock, outcomes
):
    users, everything, teams = schedule(ready, streams=["users"]), schedule(ready), schedule(ready, streams=["teams"])
    clock.by(HOUR)
    assert service.fire_due(drivers) == Fired(fired=1, overlapped=2)
    assert [outcomes(one)[0][0] for one in (users, everything, teams)] == ["overlapped", "fired", "overlapped"]


def test_schedules_of_different_streams_both_get_their_turn(drivers, place, ready, schedule, clock):
    schedule(ready, streams=["users"])
    schedule(ready, streams=["teams"])
    clock.by(HOUR)
    assert service.fire_due(drivers) == Fired(fired=1)
    clock.end_runs()
    assert service.fire_due(drivers) == Fired(fired=1)
    assert {run.streams for run in runs.listing(drivers, place.org_id)} == {("users",), ("teams",)}


def test_one_run_makes_up_for_all_that_were_missed_and_they_are_told(drivers, integration, schedule, clock, outcomes):
    added = schedule(integration("A"))
    clock.by(10 * HOUR + 30 * MINUTE)
    assert service.fire_due(drivers) == Fired(fired=1, missed=9)
    assert outcomes(added) == [("missed", "one run for all that were missed", 9), ("fired", "", 1)]
    events = clock.sql("SELECT payload FROM orchestrator.events WHERE name = 'schedule.missed.v1'").scalars().all()
    assert [one["count"] for one in events] == [9]


def test_with_skip_late_slots_are_left_out_and_told(drivers, integration, schedule, clock, outcomes):
    added = schedule(integration("A"), policy=Policy(misfire=Misfire.SKIP))
    clock.by(3 * HOUR + 30 * MINUTE)
    assert service.fire_due(drivers) == Fired(missed=3)
    assert outcomes(added) == [("missed", "too late", 3)]
    clock.by(30 * MINUTE)
    assert service.fire_due(drivers) == Fired(fired=1), "on time again"


def test_missed_ones_are_caught_up_one_by_one_up_to_the_limit(drivers, place, integration, schedule, clock, outcomes):
    added = schedule(integration("A"), policy=Policy(misfire=Misfire.CATCH_UP, catch_up=3))
    clock.by(10 * HOUR + 30 * MINUTE)
    total = service.fire_due(drivers) + service.fire_due(drivers)
    for _ in range(4):
        assert len(queued(drivers, place.org_id)) <= 1
        clock.end_runs()
        total += service.fire_due(drivers)
    assert total == Fired(fired=3, missed=7)
    assert [one[0] for one in outcomes(added)] == ["missed", "fired", "fired", "fired"]


def test_a_year_nobody_was_there_costs_nothing_and_loses_nothing(drivers, integration, schedule, clock, outcomes):
    added = schedule(integration("A"), Timing(cron="* * * * *", zone="Europe/Berlin"))
    clock.by(timedelta(days=365))
    assert service.fire_due(drivers).fired == 1
    (missed, _, count), (fired, _, _) = outcomes(added)
    assert (missed, fired) == ("missed", "fired")
    assert count == pytest.approx(365 * 1440, abs=2)


def test_of_a_million_missed_ones_a_hundred_are_caught_up_at_most_and_all_are_told(
    drivers, integration, schedule, clock, outcomes
):
    policy = Policy(misfire=Misfire.CATCH_UP, catch_up=100)
    added = schedule(integration("A"), Timing(every=MINUTE), policy=policy)
    clock.by(1_000_000 * MINUTE)
    service.fire_due(drivers)
    (missed, _, count), *kept = outcomes(added)
    assert (missed, len(kept)) == ("missed", 100)
    assert count == pytest.approx(1_000_000 - 100, abs=2)


def test_nothing_starts_in_a_blackout(drivers, integration, schedule, clock, outcomes):
    today = datetime.now(UTC)
    around = (f"{today + timedelta(days=step):%a} 00:00-24:00" for step in (-1, 0, 1))
    added = schedule(integration("A"), policy=Policy(blackout=tuple(around)))
    clock.by(HOUR)
    assert service.fire_due(drivers) == Fired(skipped=1)
    assert outcomes(added) == [("skipped", "blackout", 1)]


def test_slots_of_a_disabled_or_deleted_integration_are_skipped_and_say_so(
    drivers, integration, schedule, clock, outcomes
):
    for there, change in ((integration("A"), "enabled = false"), (integration("B"), "deleted_at = now()")):
        added = schedule(there)
        clock.sql(f"UPDATE orchestrator.integrations SET {change} WHERE name = '{there.name}'")
        clock.by(HOUR, added)
        assert service.fire_due(drivers) == Fired(skipped=1)
        assert outcomes(added) == [("skipped", "integration disabled or deleted", 1)]


def test_a_paused_schedule_rests_and_says_afterwards_what_it_left_out(drivers, integration, schedule, clock, outcomes):
    added = service.pause(drivers, schedule(integration("A")))
    clock.by(5 * HOUR + MINUTE)
    assert service.fire_due(drivers) == Fired()
    resumed = service.resume(drivers, added)
    assert outcomes(added) == [("skipped", "paused", 5)]
    assert resumed.next_fire_at is not None
    assert service.fire_due(drivers) == Fired()


def test_a_deleted_schedule_never_fires_again_and_its_history_is_kept(drivers, place, integration, schedule, clock):
    added = schedule(integration("A"))
    clock.by(HOUR)
    service.fire_due(drivers)
    service.delete(drivers, added)
    clock.by(HOUR)
    assert service.fire_due(drivers) == Fired()
    assert service.listing(drivers, place.org_id) == []
    assert len(service.slots(drivers, added)) == 1


def test_a_recorded_slot_is_never_fired_again_even_if_the_schedule_goes_back(
    drivers, place, integration, schedule, clock
):
    schedule(integration("A"))
    clock.by(HOUR)
    service.fire_due(drivers)
    clock.end_runs()
    clock.sql("UPDATE orchestrator.schedules s SET next_slot = x.slot, next_fire_at = x.slot"
              " FROM orchestrator.schedule_slots x WHERE x.schedule_id = s.id")  # fmt: skip
    assert service.fire_due(drivers) == Fired(), "yesterday's row came back, today's slot did not"
    assert len(runs.listing(drivers, place.org_id)) == 1


def test_a_tick_that_is_rolled_back_leaves_nothing_behind(drivers, place, integration, schedule, clock, monkeypatch):
    added = schedule(integration("A"))
    clock.by(HOUR)
    monkeypatch.setattr("orchestrator.domains.schedules.queries.move_all", _broken)
    with pytest.raises(KeyboardInterrupt):
        service.fire_due(drivers)
    monkeypatch.undo()
    assert (queued(drivers, place.org_id), service.slots(drivers, added)) == ([], [])
    assert service.fire_due(drivers) == Fired(fired=1)


def _broken(*_arguments):
    raise KeyboardInterrupt
