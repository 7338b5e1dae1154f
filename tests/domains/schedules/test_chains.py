"""Schedules that something else starts: another's success, an event."""

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.domains.integrations.types import Window
from orchestrator.domains.runs import service as runs
from orchestrator.domains.runs.events import StateChanged
from orchestrator.domains.runs.types import RunKind, RunRequest
from orchestrator.domains.schedules import service
from orchestrator.domains.schedules.types import Fired, Timing
from orchestrator.kernel.events import emit
from tests.domains.schedules.acts import ended, queued

HOUR = timedelta(hours=1)


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
