import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from orchestrator.domains.identity import service as identity
from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.types import NewIntegration, Window
from orchestrator.domains.runs import service as runs
from orchestrator.domains.runs.events import RunEnded, StateChanged
from orchestrator.domains.runs.types import RunKind, RunRequest
from orchestrator.domains.schedules import service
from orchestrator.domains.schedules.types import Fired, Misfire, Policy, Timing
from orchestrator.kernel.db import Role, work_for
from orchestrator.kernel.events import emit
from tests.fixtures.drivers import GITHUB

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def queued(drivers, org_id):
    return [run for run in runs.listing(drivers, org_id) if not run.status.ended]


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


BREAK = "UPDATE orchestrator.schedules SET jitter = '-1 second' WHERE id = :id"  # makes a division by zero


def test_a_schedule_that_fails_for_a_reason_nobody_foresaw_holds_up_no_other_and_is_tried_later_each_time(
    drivers, place, integration, schedule, clock, outcomes, caplog
):
    there = [schedule(integration(name)) for name in "ABCDE"]
    broken = there[2]
    clock.sql(BREAK, id=_uuid("sch", broken.id))
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
    clock.sql(BREAK, id=_uuid("sch", added.id))
    clock.by(3 * HOUR)
    assert service.lag(drivers) > HOUR
    service.fire_due(drivers)
    assert service.lag(drivers) == timedelta(0)
    clock.sql("UPDATE orchestrator.schedules SET retry_at = now() - interval '5 minutes'")
    assert 5 * MINUTE <= service.lag(drivers) < 6 * MINUTE


def test_a_schedule_that_failed_catches_up_by_its_policy_once_it_can(drivers, place, integration, schedule, clock):
    added = schedule(integration("A"))
    clock.sql(BREAK, id=_uuid("sch", added.id))
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
              f" (integration_id <> '{_uuid('int', refused.id)}')")  # fmt: skip
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
    clock.sql(BREAK, id=_uuid("sch", added.id))
    clock.by(HOUR)
    service.fire_due(drivers)

    edited = service.edit(drivers, added, Timing(every=HOUR), Policy())

    assert (edited.failures, edited.failure, edited.retry_at) == (0, None, None)


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


def ended(drivers, run, status="succeeded", kind="sync"):
    """As a worker settles a run: its end and its event in one transaction."""
    with drivers.db.transaction(run.org_id, role=Role.WORKER) as tx:
        tx.execute(text("UPDATE orchestrator.runs SET status = :status WHERE id = :id"),
                   {"status": status, "id": _uuid("run", run.id)})  # fmt: skip
        emit(
            tx,
            RunEnded(
                org_id=run.org_id,
                run_id=run.id,
                integration_id=run.integration_id,
                kind=kind,
                status=status,
                failure=None,
            ),
        )


def _uuid(prefix, text_id):
    from orchestrator.kernel import ids

    return ids.decode(prefix, text_id)


def test_a_chained_schedule_fires_once_for_each_success_and_never_for_a_failure(
    drivers, place, integration, schedule, clock, outcomes
):
    first, second = integration("A"), integration("B")
    clocked, chained = schedule(first), schedule(second, Timing(after=first.id))
    for status, fired in (("failed", 0), ("succeeded", 1), ("partial", 0)):
        clock.by(HOUR, clocked)
        service.fire_due(drivers)
        [run] = [one for one in queued(drivers, place.org_id) if one.integration_id == first.id]
        ended(drivers, run, status)
        assert service.fire_due(drivers) == Fired(fired=fired)
        assert service.fire_due(drivers) == Fired()
        clock.end_runs()
    [slot] = service.slots(drivers, chained)
    assert (slot.outcome.value, slot.cause.startswith("run_")) == ("fired", True)


@pytest.mark.parametrize("kind", ["backfill", "dry_run"])
def test_a_chained_schedule_waits_for_syncs_only(drivers, place, integration, schedule, clock, kind):
    first, second = integration("A"), integration("B")
    clocked = schedule(first)
    schedule(second, Timing(after=first.id))
    clock.by(HOUR, clocked)
    service.fire_due(drivers)
    [run] = queued(drivers, place.org_id)
    ended(drivers, run, kind=kind)
    assert service.fire_due(drivers) == Fired()


@pytest.mark.parametrize("kind", ["backfill", "dry_run"])
def test_a_run_of_another_kind_never_takes_the_place_of_a_slot(
    drivers, place, integration, schedule, clock, outcomes, kind
):
    there = integration("A")
    clocked = schedule(there)
    spring = Window(since=datetime(2024, 1, 1, tzinfo=UTC), until=datetime(2024, 6, 1, tzinfo=UTC))
    window = spring if kind == "backfill" else None
    wanted = RunRequest(
        org_id=place.org_id,
        integration_id=there.id,
        provider="github",
        trigger="t",
        kind=RunKind(kind),
        window=window,
    )
    with drivers.db.transaction(place.org_id) as tx:
        runs.enqueue(drivers, tx, [wanted])
    clock.by(HOUR, clocked)
    assert service.fire_due(drivers) == Fired()
    assert [one[0] for one in outcomes(clocked)] == ["waiting"]
    clock.end_runs()
    assert service.fire_due(drivers) == Fired(fired=1)


def test_a_chained_schedule_whose_integration_is_busy_runs_once_afterwards(
    drivers, place, integration, schedule, clock, outcomes
):
    first, second = integration("A"), integration("B")
    clocked, chained = schedule(first), schedule(second, Timing(after=first.id))
    for _ in range(3):
        clock.by(HOUR, clocked)
        service.fire_due(drivers)
        [run] = [one for one in queued(drivers, place.org_id) if one.integration_id == first.id]
        ended(drivers, run)
        service.fire_due(drivers)
    assert [one[0] for one in outcomes(chained)] == ["fired", "waiting", "waiting"]
    clock.end_runs()
    assert service.fire_due(drivers) == Fired(fired=1, overlapped=1)
    assert [one[0] for one in outcomes(chained)] == ["fired", "overlapped", "fired"]


def test_a_schedule_on_an_event_fires_for_its_own_integration_only(drivers, place, integration, schedule):
    ours, other = integration("A"), integration("B")
    schedule(ours, Timing(event="state.changed.v1"))
    for there, fired in ((other, 0), (ours, 1)):
        with drivers.db.transaction(place.org_id) as tx:
            emit(tx, StateChanged(org_id=place.org_id, integration_id=there.id, streams=[], reason="reset"))
        assert service.fire_due(drivers) == Fired(fired=fired)


def test_a_paused_chained_schedule_is_not_woken(drivers, place, integration, schedule, outcomes):
    added = service.pause(drivers, schedule(integration("A"), Timing(event="state.changed.v1")))
    with drivers.db.transaction(place.org_id) as tx:
        emit(tx, StateChanged(org_id=place.org_id, integration_id=added.integration_id, streams=[], reason="reset"))
    service.resume(drivers, added)
    assert service.fire_due(drivers) == Fired()
    assert outcomes(added) == []


def test_schedules_of_every_organization_are_fired_each_as_its_own(drivers, place, integration, schedule, clock):
    schedule(integration("A"))
    other = identity.ensure(drivers.db, "other")
    with drivers.db.transaction(other.org_id) as tx:
        integrations.ensure_warehouse(tx, other.org_id)
    theirs = integrations.add(drivers, other, NewIntegration(type="github", name="A", values=GITHUB))
    added = service.add(drivers, theirs, Timing(every=HOUR), Policy())
    clock.by(HOUR)
    assert service.fire_due(drivers) == Fired(fired=2)
    for org_id in (place.org_id, other.org_id):
        [run] = queued(drivers, org_id)
        assert run.org_id == org_id
    assert service.listing(drivers, place.org_id) != service.listing(drivers, other.org_id)
    with drivers.db.transaction(place.org_id) as tx:
        assert tx.scalar(text("SELECT count(*) FROM orchestrator.schedules WHERE id = :id"),
                         {"id": _uuid("sch", added.id)}) == 0  # fmt: skip


def test_the_schedulers_role_sees_what_it_names_and_may_do_no_more_than_firing_takes(
    drivers, place, integration, schedule, clock
):
    schedule(integration("A"))
    clock.by(HOUR)
    service.fire_due(drivers)
    other = identity.ensure(drivers.db, "other")
    count = text("SELECT count(*) FROM orchestrator.runs")
    with drivers.db.anonymous(role=Role.SCHEDULER) as tx:
        assert tx.scalar(count) == 0
        work_for(tx, [other.org_id])
        assert tx.scalar(count) == 0
        work_for(tx, [other.org_id, place.org_id])
        assert tx.scalar(count) == 1
    with drivers.db.anonymous(role=Role.SCHEDULER) as tx:
        work_for(tx, [other.org_id])
        with pytest.raises(ProgrammingError, match="row-level security"):
            tx.execute(text("INSERT INTO orchestrator.events (org_id, id, name, payload)"
                            " VALUES (:org, gen_random_uuid(), 'x', '{}')"), {"org": _uuid("org", place.org_id)})  # fmt: skip
    for forbidden in ("UPDATE orchestrator.runs SET status = 'succeeded'", "SELECT FROM orchestrator.vault_secrets"):
        with drivers.db.anonymous(role=Role.SCHEDULER) as tx:
            work_for(tx, [place.org_id])
            with pytest.raises(ProgrammingError, match="permission denied"):
                tx.execute(text(forbidden))


def test_schedulers_at_the_same_moment_fire_every_slot_exactly_once(drivers, place, integration, schedule, clock):
    there = [integration(f"I{number}") for number in range(40)]
    for one in there:
        schedule(one)
    clock.by(HOUR)
    done, gate = [], threading.Barrier(4)

    def tick():
        gate.wait()
        done.append(service.fire_due(drivers))

    threads = [threading.Thread(target=tick) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(done, Fired()) == Fired(fired=40)
    queue = runs.listing(drivers, place.org_id, limit=100)
    assert sorted(run.integration_id for run in queue) == sorted(one.id for one in there)


def test_schedulers_that_hold_different_schedules_of_the_same_integrations_get_along(
    drivers, place, integration, schedule, clock, monkeypatch
):
    monkeypatch.setattr("orchestrator.domains.schedules.service.firing._BATCH", 12)
    there = [integration(f"I{number}") for number in range(15)]
    for one in (*there, *reversed(there), *there):
        schedule(one)
    clock.by(HOUR)
    done, gate = [], threading.Barrier(4)

    def tick():
        gate.wait()
        done.append(service.fire_due(drivers))

    threads = [threading.Thread(target=tick) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 4, "no deadlock"
    assert sum((*done, service.fire_due(drivers)), Fired()) == Fired(fired=15, overlapped=30)
    assert len(runs.listing(drivers, place.org_id, limit=100)) == 15


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
