"""Runs whose worker died, or lost them."""

from datetime import timedelta
from time import sleep

import pytest
from sqlalchemy import text

from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.types import Health
from orchestrator.domains.runs import queries, service
from orchestrator.domains.runs.errors import (
    LeaseLostError,
)
from orchestrator.domains.runs.types import FailureKind, RunStatus
from orchestrator.drivers.liveness import WorkerMark
from orchestrator.drivers.meltano.output import Source
from orchestrator.kernel.db import Role
from tests.domains.runs.syncs import positions
from tests.fakes.meltano import counted, said
from tests.fixtures.drivers import as_killed


def test_the_run_of_a_killed_worker_ends_at_the_next_start(drivers, ready, all_well):
    run = service.request(drivers, ready)
    mark = drivers.worker

    def die(_):
        as_killed(mark)
        assert [one.id for one in service.recover(drivers)] == [run.id]

    all_well.act = die
    with pytest.raises(LeaseLostError):
        service.execute(drivers, ready, run)
    ended = service.find(drivers, ready.org_id, run.id)
    assert ended.failure is not None
    assert (ended.status, ended.failure.kind) == (RunStatus.FAILED, FailureKind.WORKER_LOST)
    assert service.request(drivers, ready).status is RunStatus.QUEUED


def test_a_worker_elsewhere_is_lost_when_its_lease_runs_out(drivers, ready, monkeypatch):
    run = service.request(drivers, ready)
    with drivers.db.transaction(ready.org_id, role=Role.WORKER) as tx:
        assert queries.claim(tx, run.id, worker="worker-of-another-machine", lease=timedelta(seconds=-1))
    assert [one.id for one in service.recover(drivers)] == [run.id]
    ended = service.find(drivers, ready.org_id, run.id)
    assert ended.failure is not None
    assert (ended.status, ended.failure.kind) == (RunStatus.FAILED, FailureKind.WORKER_LOST)
    assert integrations.find(drivers, ready.org_id, ready.id).health is Health.DEGRADED


def test_a_worker_elsewhere_with_a_lease_is_left_alone(drivers, ready):
    run = service.request(drivers, ready)
    with drivers.db.transaction(ready.org_id, role=Role.WORKER) as tx:
        assert queries.claim(tx, run.id, worker="worker-of-another-machine", lease=timedelta(hours=1))
    assert service.recover(drivers) == []
    assert service.find(drivers, ready.org_id, run.id).status is RunStatus.RUNNING


def test_a_run_whose_requester_died_before_anybody_claimed_it_does_not_block(drivers, ready):
    run = service.request(drivers, ready)
    assert service.recover(drivers) == [], "we live"
    as_killed(drivers.worker)
    assert [one.id for one in service.recover(drivers)] == [run.id]
    assert service.recover(drivers) == []
    drivers.__dict__.pop("worker")
    assert service.request(drivers, ready).status is RunStatus.QUEUED


def test_a_cancelled_request_leaves_nothing_to_recover(drivers, ready):
    service.cancel(drivers, service.request(drivers, ready))
    as_killed(drivers.worker)
    assert service.recover(drivers) == []
    drivers.__dict__.pop("worker")


def test_a_worker_that_lost_its_run_writes_no_state(drivers, ready, all_well):
    run = service.request(drivers, ready)
    all_well.states = []

    def overtaken(meltano):
        with drivers.db.pool.begin() as connection:
            connection.execute(text("UPDATE orchestrator.runs SET epoch = epoch + 1"))
        assert meltano.cancel.wait(60), "the heartbeat sees it"

    all_well.act = overtaken
    with pytest.raises(LeaseLostError):
        service.execute(drivers, ready, run)
    assert positions(drivers, ready) == {}
    assert service.find(drivers, ready.org_id, run.id).status is RunStatus.RUNNING


def test_a_worker_that_lost_its_run_stores_neither_lines_nor_counts(drivers, ready, all_well):
    run = service.request(drivers, ready)
    before = []

    def overtaken(meltano):
        with drivers.db.pool.begin() as connection:
            connection.execute(text("UPDATE orchestrator.runs SET epoch = epoch + 1"))
        before.extend((service.logs(drivers, run), service.counts(drivers, run)))
        meltano.on_output(counted(Source.TAP, "users", 7))
        sleep(0.6)
        meltano.on_output(said("late"))

    all_well.act = overtaken
    with pytest.raises(LeaseLostError):
        service.execute(drivers, ready, run)
    assert [service.logs(drivers, run), service.counts(drivers, run)] == before


def test_two_workers_on_this_machine_are_told_apart(drivers, tmp_path):
    first, second = WorkerMark(tmp_path), WorkerMark(tmp_path)
    assert first.name != second.name
    first.close()
    second.close()
