"""Several schedulers, of every organization at once: the database's locks give them turns, and none waits for another crosswise."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from orchestrator.domains.identity import service as identity
from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.types import NewIntegration
from orchestrator.domains.runs import service as runs
from orchestrator.domains.schedules import queries, service
from orchestrator.domains.schedules.service import firing
from orchestrator.domains.schedules.types import Fired, Policy, Timing
from orchestrator.kernel import ids
from orchestrator.kernel.db import Role, work_for
from tests.domains.schedules.acts import queued
from tests.domains.schedules.conftest import HOURLY, _uuid
from tests.fixtures.drivers import GITHUB

HOUR = timedelta(hours=1)


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
                         {"id": ids.decode("sch", added.id)}) == 0  # fmt: skip


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
                            " VALUES (:org, gen_random_uuid(), 'x', '{}')"), {"org": ids.decode("org", place.org_id)})  # fmt: skip
    for forbidden in ("UPDATE orchestrator.runs SET status = 'succeeded'", "SELECT FROM orchestrator.vault_secrets"):
        with drivers.db.anonymous(role=Role.SCHEDULER) as tx:
            work_for(tx, [place.org_id])
            with pytest.raises(ProgrammingError, match="permission denied"):
                tx.execute(text(forbidden))


def by_four(drivers):
    """What each of four schedulers fired that look at the same moment; one that failed is not among them."""
    done, gate = [], threading.Barrier(4)

    def tick():
        gate.wait()
        done.append(service.fire_due(drivers))

    threads = [threading.Thread(target=tick) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return done


def test_schedulers_at_the_same_moment_fire_every_slot_exactly_once(drivers, place, integration, schedule, clock):
    there = [integration(f"I{number}") for number in range(40)]
    for one in there:
        schedule(one)
    clock.by(HOUR)
    done = by_four(drivers)
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
    done = by_four(drivers)
    assert len(done) == 4, "no deadlock"
    assert sum((*done, service.fire_due(drivers)), Fired()) == Fired(fired=15, overlapped=30)
    assert len(runs.listing(drivers, place.org_id, limit=100)) == 15


def test_two_schedulers_that_hold_back_what_each_other_has_a_slot_of_never_wait_for_each_other(
    drivers, integration, schedule, clock, monkeypatch
):
    first, second = schedule(integration("A")), schedule(integration("B"))
    clock.by(HOURLY.every, first)
    clock.by(HOURLY.every / 2, first)  # one is due for longer, so that one scheduler claims it, and the other the other
    clock.by(HOURLY.every, second)
    for waits, for_minutes in ((second, 20), (first, 10)):
        clock.sql(
            "INSERT INTO orchestrator.schedule_slots (org_id, schedule_id, slot, outcome)"
            " SELECT org_id, id, now() - :ago * interval '1 minute', 'waiting' FROM orchestrator.schedules WHERE id = :id",
            id=_uuid(waits), ago=for_minutes,
        )  # fmt: skip
    both = threading.Barrier(2)
    claim = queries.claim_due

    def claim_both(tx, *, most):
        claimed = claim(tx, most=most)
        with suppress(threading.BrokenBarrierError):
            both.wait(10)
        return claimed

    monkeypatch.setattr(firing, "_BATCH", 1)
    monkeypatch.setattr(firing, "_MOST_BATCHES", 1)
    monkeypatch.setattr(queries, "claim_due", claim_both)
    clock.sql("ALTER TABLE orchestrator.runs ADD CONSTRAINT refused CHECK (false) NOT VALID")
    try:
        with ThreadPoolExecutor(2) as schedulers:
            assert list(schedulers.map(service.fire_due, 2 * [drivers])) == 2 * [Fired()]
    finally:
        clock.sql("ALTER TABLE orchestrator.runs DROP CONSTRAINT refused")
    assert clock.sql("SELECT count(*) FROM orchestrator.schedules WHERE failures = 1").scalar_one() == 2


def test_a_batch_that_is_fired_in_parts_queues_runs_in_the_same_order_as_any_other(
    drivers, integration, schedule, clock, monkeypatch
):
    there = [integration(name) for name in "ABCDE"]
    broken = schedule(there[4])
    for one in reversed(there[:4]):
        schedule(one)
    clock.sql("UPDATE orchestrator.schedules SET jitter = '-1 second' WHERE id = :id", id=_uuid(broken))
    clock.by(HOURLY.every)
    queued, enqueue = [], runs.enqueue

    def enqueued(drivers, tx, requests):
        queued.extend(one.integration_id for one in requests)
        return enqueue(drivers, tx, requests)

    monkeypatch.setattr(runs, "enqueue", enqueued)
    assert service.fire_due(drivers) == Fired(fired=4)
    assert queued == sorted(queued)
