"""Data that becomes late, or fresh again, is told once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text

from orchestrator.domains.health import rules, service
from orchestrator.domains.health.types import Freshness
from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.types import NewIntegration
from orchestrator.domains.runs import service as runs
from orchestrator.domains.schedules import service as schedules
from orchestrator.domains.schedules.types import Policy, Timing
from orchestrator.drivers.meltano.output import Source
from orchestrator.kernel import ids
from orchestrator.kernel.events import EventRow
from tests.fakes.meltano import counted, singer_state
from tests.fixtures.drivers import GITHUB

HOURLY = Timing(every=timedelta(hours=1))


@pytest.fixture
def scheduled(drivers, ready):
    """An integration that syncs every hour, from now on."""
    made = integrations.connect(drivers, ready)
    schedules.add(drivers, made, HOURLY, Policy())
    return made


@pytest.fixture
def later(drivers):
    """Let time go by for schedules, syncs and looks, as if the database's clock had moved."""

    def call(hours):
        with drivers.db.connection() as connection:
            for change in (
                "schedules SET created_at = created_at - :by, anchor = anchor - :by",
                "runs SET started_at = started_at - :by, finished_at = finished_at - :by",
                "integration_health SET next_look_at = next_look_at - :by",
                "schedules SET next_fire_at = next_fire_at - :by",
            ):
                connection.execute(text(f"UPDATE orchestrator.{change}"), {"by": timedelta(hours=hours)})

    return call


@pytest.fixture
def told(drivers, ready):
    """What was told since the last call, oldest first: whether data is late."""
    seen = set()

    def call():
        with drivers.db.transaction(ready.org_id) as tx:
            wanted = select(EventRow).where(EventRow.name == "integration.freshness_changed.v1").order_by(EventRow.id)
            rows = [row for row in tx.scalars(wanted) if row.id not in seen]
            seen.update(row.id for row in rows)
            return [row.payload for row in rows]

    return call


@pytest.fixture
def sync(drivers, scheduled, meltano):
    """Sync now; it succeeds."""

    def call():
        meltano.outputs = [counted(side, "users", 1) for side in Source]
        meltano.states = [singer_state(users={"page": 1})]
        return runs.execute(drivers, scheduled, runs.request(drivers, scheduled))

    return call


def test_a_lapse_is_told_once_and_its_end_once(drivers, scheduled, later, told, sync):
    service.note_freshness(drivers)
    assert told() == []
    later(1.5)
    service.note_freshness(drivers)
    assert told() == [], "it has the grace of an hour, too"
    later(1)
    for _ in range(3):
        service.note_freshness(drivers)
        later(1.1)
    [fact] = told()
    assert (fact["integration_id"], fact["late"], fact["as_of"]) == (scheduled.id, True, None)
    assert fact["due"]
    sync()
    service.note_freshness(drivers)
    service.note_freshness(drivers)
    [fact] = told()
    assert (fact["late"], bool(fact["as_of"]), bool(fact["due"])) == (False, True, True)
    later(2.5)
    service.note_freshness(drivers)
    assert [fact["late"] for fact in told()] == [True], "the next lapse is another"


def test_syncs_that_come_in_time_are_no_news(drivers, scheduled, later, told, sync):
    for _ in range(4):
        sync()
        service.note_freshness(drivers)
        later(0.9)
    service.note_freshness(drivers)
    assert told() == []


def test_however_many_workers_look_a_lapse_is_told_once(drivers, place, scheduled, later, told):
    for at in range(12):
        made = integrations.add(drivers, place, NewIntegration(type="github", name=f"Code {at}", values=GITHUB))
        schedules.add(drivers, made, HOURLY, Policy())
    later(3)
    with ThreadPoolExecutor(8) as workers:
        list(workers.map(lambda _: service.note_freshness(drivers), range(24)))
    facts = told()
    assert len(facts) == len({fact["integration_id"] for fact in facts}) == 13


@pytest.mark.parametrize("way", ["paused", "deleted", "disabled"])
def test_data_that_nothing_promises_any_more_is_late_no_more(drivers, scheduled, later, told, way):
    later(3)
    service.note_freshness(drivers)
    [schedule] = schedules.listing(drivers, scheduled.org_id)
    change = {
        "paused": lambda: schedules.pause(drivers, schedule),
        "deleted": lambda: schedules.delete(drivers, schedule),
        "disabled": lambda: integrations.switch(drivers, scheduled, enabled=False),
    }
    change[way]()
    service.note_freshness(drivers)
    assert [(fact["late"], fact["due"] is None) for fact in told()] == [(True, False), (False, True)]


def test_of_an_integration_that_was_deleted_nothing_is_told(drivers, scheduled, later, told):
    later(3)
    integrations.delete(drivers, scheduled)
    service.note_freshness(drivers)
    assert told() == []


@pytest.mark.parametrize("change", ["jitter = '-1 second'", "zone = 'Europe/Nowhere'"])
def test_a_schedule_that_nobody_can_read_keeps_no_other_from_being_looked_at(
    drivers, place, scheduled, later, told, change
):
    other = integrations.add(drivers, place, NewIntegration(type="github", name="Other", values=GITHUB))
    broken = schedules.add(drivers, other, Timing(cron="0 * * * *"), Policy())
    with drivers.db.connection() as connection:
        one = {"id": ids.decode("sch", broken.id)}
        connection.execute(text(f"UPDATE orchestrator.schedules SET {change} WHERE id = :id"), one)
    later(3)
    service.note_freshness(drivers)
    assert (scheduled.id, True) in [(fact["integration_id"], fact["late"]) for fact in told()]


UNREADABLE = ["zone = 'Europe/Nowhere'", "cron = 'often', every = NULL", "jitter = '-1 second'"]


@pytest.mark.parametrize("change", UNREADABLE)
def test_data_of_a_schedule_that_nobody_can_read_any_more_becomes_late_and_fresh_by_what_it_named_last(
    drivers, scheduled, later, told, sync, command, change
):
    service.note_freshness(drivers)
    with drivers.db.connection() as connection:
        connection.execute(text(f"UPDATE orchestrator.schedules SET {change}"))
    later(1.5)
    service.note_freshness(drivers)
    assert told() == []
    later(1)
    service.note_freshness(drivers)
    assert [fact["late"] for fact in told()] == [True]
    [condition] = command("health", "--json").json
    assert condition["attention"]["cause"] == "late"
    sync()
    service.note_freshness(drivers)
    assert [fact["late"] for fact in told()] == [False]
    later(1.5)
    service.note_freshness(drivers)
    assert [fact["late"] for fact in told()] == [True], "nothing renews it"


def test_an_organization_that_can_not_be_looked_at_keeps_no_other_from_it(
    drivers, scheduled, later, told, monkeypatch, caplog
):
    later(3)
    claimed = {ids.new("org"): [ids.new("int")], scheduled.org_id: [scheduled.id]}
    hold = integrations.hold_lateness
    monkeypatch.setattr(integrations, "claim_due_looks", lambda *_, **__: claimed)
    monkeypatch.setattr(
        integrations, "hold_lateness", lambda tx, ours: 1 / 0 if scheduled.id not in ours else hold(tx, ours)
    )
    service.note_freshness(drivers)
    assert [fact["late"] for fact in told()] == [True]
    assert "ZeroDivisionError" in caplog.text


def test_a_look_whose_worker_died_is_made_by_another(drivers, scheduled, later, told):
    later(3)
    assert integrations.claim_due_looks(drivers, most=10) == {scheduled.org_id: [scheduled.id]}
    service.note_freshness(drivers)
    assert told() == []
    later(0.1)
    service.note_freshness(drivers)
    assert [fact["late"] for fact in told()] == [True]


def test_what_nothing_promises_is_not_looked_at_again():
    assert rules.next_look(None) is None


def test_what_is_fresh_is_looked_at_when_it_would_be_late():
    due = datetime(2026, 1, 1, tzinfo=UTC)
    assert rules.next_look(Freshness(as_of=None, due=due, late=False)) == due
    assert rules.next_look(Freshness(as_of=None, due=due, late=True)) == timedelta(hours=1)
