"""A schedule that can't be fired is held back by itself, and is told."""

from datetime import timedelta

from sqlalchemy import text

from orchestrator.domains.schedules import service
from orchestrator.domains.schedules.types import Fired, Policy, Timing
from orchestrator.kernel import ids
from tests.domains.schedules.acts import ended, queued

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
BREAK = "UPDATE orchestrator.schedules SET jitter = '-1 second' WHERE id = :id"  # makes a division by zero


def test_a_schedule_that_can_no_longer_be_read_is_told_and_holds_up_no_other(
    drivers, place, integration, schedule, clock, outcomes, caplog
):
    broken, sound = (
        schedule(integration("A"), Timing(cron="0 * * * *", zone="Europe/Berlin")),
        schedule(integration("B")),
    )
    clock.sql("UPDATE orchestrator.schedules SET zone = 'Mars/Olympus' WHERE cron IS NOT NULL")
    clock.by(HOUR)
    assert service.fire_due(drivers) == Fired(fired=1)
    held = service.find(drivers, place.org_id, broken.id)
    assert (held.paused_at, held.failures, "no time zone 'Mars/Olympus'" in held.failure) == (None, 1, True)
    assert outcomes(broken) == []
    assert outcomes(sound)[0][0] == "fired"
    [fact] = clock.sql("SELECT payload FROM orchestrator.events WHERE name = 'schedule.failed.v1'").scalars().all()
    assert (fact["schedule_id"], fact["reason"]) == (broken.id, held.failure)
    assert "Traceback" not in caplog.text


def test_a_schedule_whose_zone_came_back_goes_on_by_itself(drivers, place, integration, schedule, clock, outcomes):
    added = schedule(integration("A"), Timing(cron="0 * * * *", zone="Europe/Berlin"))
    clock.sql("UPDATE orchestrator.schedules SET zone = 'Mars/Olympus'")
    clock.by(HOUR)
    service.fire_due(drivers)
    clock.sql("UPDATE orchestrator.schedules SET zone = 'Europe/Berlin', retry_at = now()")
    assert service.fire_due(drivers) == Fired(fired=1)
    assert service.find(drivers, place.org_id, added.id).failure is None


def test_a_schedule_that_fails_for_a_reason_nobody_foresaw_holds_up_no_other_and_is_tried_later_each_time(
    drivers, place, integration, schedule, clock, outcomes, caplog
):
    there = [schedule(integration(name)) for name in "ABCDE"]
    broken = there[2]
    clock.sql(BREAK, id=ids.decode("sch", broken.id))
    clock.by(HOUR)

    assert service.fire_due(drivers) == Fired(fired=4)

    assert "ZeroDivisionError" in caplog.text
    assert service.fire_due(drivers) == Fired(), "not tried again each second"
    waits = []
    for failures in (1, 2, 3):
        held = service.find(drivers, place.org_id, broken.id)
        assert (held.failures, held.failure) == (
            failures,
            "Something unexpected went wrong in orchestrator itself (ZeroDivisionError).",
        )
        with drivers.db.connection() as connection:
            now = connection.scalar(text("SELECT clock_timestamp()"))
        waits.append(round((held.retry_at - now) / MINUTE))
        clock.sql("UPDATE orchestrator.schedules SET retry_at = now() WHERE retry_at IS NOT NULL")
        service.fire_due(drivers)
    assert waits == [1, 2, 4]
    events = clock.sql("SELECT payload FROM orchestrator.events WHERE name = 'schedule.failed.v1'").scalars().all()
    assert [one["schedule_id"] for one in events] == [broken.id], "told once"
    assert outcomes(broken) == []


def test_a_schedule_that_is_held_back_does_not_count_as_late_until_it_is_to_be_tried_again(
    drivers, integration, schedule, clock
):
    added = schedule(integration("A"))
    clock.sql(BREAK, id=ids.decode("sch", added.id))
    clock.by(3 * HOUR)
    assert service.lag(drivers) > HOUR
    service.fire_due(drivers)
    assert service.lag(drivers) == timedelta(0)
    clock.sql("UPDATE orchestrator.schedules SET retry_at = now() - interval '5 minutes'")
    assert 5 * MINUTE <= service.lag(drivers) < 6 * MINUTE


def test_a_schedule_that_failed_catches_up_by_its_policy_once_it_can(drivers, place, integration, schedule, clock):
    added = schedule(integration("A"))
    clock.sql(BREAK, id=ids.decode("sch", added.id))
    clock.by(3 * HOUR)
    assert service.fire_due(drivers) == Fired()
    clock.sql("UPDATE orchestrator.schedules SET jitter = '0', retry_at = now()")

    assert service.fire_due(drivers) == Fired(fired=1, missed=2)

    mended = service.find(drivers, place.org_id, added.id)
    assert (mended.failures, mended.failure, mended.retry_at) == (0, None, None)


def test_a_slot_that_waits_and_can_not_be_queued_holds_up_no_other(
    drivers, place, integration, schedule, clock, outcomes
):
    first, refused, sound = (integration(name) for name in "ABC")
    clocked = schedule(first)
    chained = [schedule(one, Timing(after=first.id)) for one in (refused, sound)]
    clock.by(HOUR, clocked)
    service.fire_due(drivers)
    [run] = queued(drivers, place.org_id)
    ended(drivers, run)
    clock.sql(f"ALTER TABLE orchestrator.runs ADD CONSTRAINT refused CHECK"
              f" (integration_id <> '{ids.decode('int', refused.id)}')")  # fmt: skip
    try:
        assert service.fire_due(drivers) == Fired(fired=1)
        assert service.fire_due(drivers) == Fired()
    finally:
        clock.sql("ALTER TABLE orchestrator.runs DROP CONSTRAINT refused")

    assert [outcomes(one)[0][0] for one in chained] == ["waiting", "fired"]
    assert "IntegrityError" in service.find(drivers, place.org_id, chained[0].id).failure
    clock.sql("UPDATE orchestrator.schedules SET retry_at = now() WHERE retry_at IS NOT NULL")
    assert service.fire_due(drivers) == Fired(fired=1)


def test_what_is_changed_about_a_schedule_that_failed_lets_it_begin_anew(drivers, place, integration, schedule, clock):
    added = schedule(integration("A"))
    clock.sql(BREAK, id=ids.decode("sch", added.id))
    clock.by(HOUR)
    service.fire_due(drivers)

    edited = service.edit(drivers, added, Timing(every=HOUR), Policy())

    assert (edited.failures, edited.failure, edited.retry_at) == (0, None, None)
