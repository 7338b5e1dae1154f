"""Whether data is as new as its schedules promise."""

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.runs import service as runs
from orchestrator.domains.runs.types import RunRequest
from orchestrator.domains.schedules import rules, service
from orchestrator.domains.schedules.types import Policy, Schedule, Timing
from orchestrator.kernel import ids

HOUR = timedelta(hours=1)
NIGHTLY = Timing(cron="0 2 * * *")


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def made(timing=NIGHTLY, **more):
    rest = {"policy": Policy(), "streams": None, "paused_at": None, "next_slot": None, "next_fire_at": None}
    return Schedule(
        org_id="o", id="sch", integration_id="i", timing=timing, created_at=at("2026-01-01"), **{**rest, **more}
    )


@pytest.mark.parametrize(
    ("schedule", "last_began", "took", "expected"),
    [
        pytest.param(made(), None, 0, "2026-01-01 03:00", id="the first slot after it was added, and the grace"),
        pytest.param(made(), "2026-03-05 02:00", 0, "2026-03-06 03:00", id="the slot after the one that was kept"),
        pytest.param(made(), "2026-03-05 01:59", 0, "2026-03-05 03:00", id="a sync that began before a slot doesn't keep it"),
        pytest.param(made(), "2026-03-05 02:00", 3, "2026-03-06 06:00", id="it may take as long as the last one"),
        pytest.param(made(Timing(cron="0 2 * * mon-fri")), "2026-03-06 02:00", 0, "2026-03-09 03:00", id="a weekend is no gap"),
        pytest.param(made(Timing(every=HOUR, anchor=at("2026-01-01"))), "2026-03-05 02:10", 0, "2026-03-05 04:00", id="an interval"),
        pytest.param(made(policy=Policy(blackout=("sun 00:00-24:00",))), "2026-03-07 02:00", 0, "2026-03-09 03:00", id="nothing is promised for a blackout"),
        pytest.param(made(paused_at=at("2026-02-01")), None, 0, None, id="one that rests promises nothing"),
        pytest.param(made(Timing(after="other")), None, 0, None, id="nor does one that follows another"),
        pytest.param(made(), "2025-12-01 02:00", 0, "2026-01-01 03:00", id="a success from before it was added"),
    ],
)  # fmt: skip
def test_a_success_is_due_after_the_first_slot_nobody_kept(schedule, last_began, took, expected):
    began = None if last_began is None else at(last_began)
    due = rules.promised(schedule, last_began=began, took=took * HOUR, grace=HOUR)
    assert due == (None if expected is None else at(expected))


def test_each_schedule_is_held_against_syncs_that_read_its_streams(drivers, org_id, integration, schedule, clock):
    of = integration("A")
    everything, some = schedule(of), schedule(of)
    clock.sql("UPDATE orchestrator.schedules SET created_at = now() - interval '10 hours'")
    assert [one.late for one in service.promises(drivers, org_id)] == [True, True]

    run = next(iter(_run(drivers, of, ("users",)).values()))
    clock.end_runs()
    clock.sql("UPDATE orchestrator.schedules SET streams = '{users}' WHERE id = :id", id=_uuid(some))
    clock.sql("UPDATE orchestrator.runs SET started_at = now() - interval '1 minute'")
    found = {one.schedule.id: (one.late, one.as_of is not None) for one in service.promises(drivers, org_id)}
    assert found == {everything.id: (True, False), some.id: (False, True)}
    assert run.streams == ("users",)


def test_what_is_disabled_promises_nothing(drivers, org_id, integration, schedule, clock):
    of = integration("A")
    schedule(of)
    clock.sql("UPDATE orchestrator.schedules SET created_at = now() - interval '10 hours'")
    integrations.switch(drivers, of, enabled=False)
    assert service.promises(drivers, org_id) == []


def _run(drivers, of, streams):
    request = RunRequest(org_id=of.org_id, integration_id=of.id, provider=of.type, trigger="test", streams=streams)
    with drivers.db.transaction(of.org_id) as tx:
        return runs.enqueue(drivers, tx, [request])


def _uuid(schedule):
    return ids.decode("sch", schedule.id)
