"""Several schedulers at once: what they do takes turns by the database's locks, and none waits for another crosswise."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from orchestrator.domains.runs import service as runs
from orchestrator.domains.schedules import queries, service
from orchestrator.domains.schedules.service import firing
from orchestrator.domains.schedules.types import Fired
from tests.domains.schedules.conftest import HOURLY, _uuid


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
