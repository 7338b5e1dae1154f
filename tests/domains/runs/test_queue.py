"""Detached runs: who waits, and who is handed to whom."""

import threading
from collections import Counter
from datetime import timedelta

import pytest

from orchestrator.domains.runs import queries, service
from orchestrator.domains.runs.errors import RunInProgressError
from orchestrator.domains.runs.types import (
    RunRequest,
    RunStatus,
)
from orchestrator.kernel.settings import QueueSettings
from tests.domains.runs.lines import handed, join, line, silence

pytestmark = pytest.mark.usefixtures("unhurried")


def test_a_detached_run_is_handed_to_a_worker_that_lives(drivers, ready, joined):
    run = service.submit(drivers, ready)
    assert (run.detached, run.status) == (True, RunStatus.QUEUED)
    assert handed(drivers) == {run.id: drivers.worker.name}
    ended = service.take(drivers, ready.org_id, run.id, drain=threading.Event())
    assert ended is not None
    assert ended.status is RunStatus.SUCCEEDED
    assert line(drivers) == []


def test_without_a_worker_it_waits(drivers, ready):
    run = service.submit(drivers, ready)
    assert handed(drivers) == {}
    join(drivers)
    assert service.dispatch(drivers) == 1
    assert list(handed(drivers)) == [run.id]


def test_a_silent_or_draining_worker_is_handed_nothing(drivers, ready, joined):
    service.beat(drivers, draining=True)
    service.submit(drivers, ready)
    assert handed(drivers) == {}
    service.beat(drivers, draining=False)
    silence(drivers)
    assert service.dispatch(drivers) == 0


def test_an_integration_has_one_active_run_whoever_executes_it(drivers, ready, joined):
    attended = service.request(drivers, ready)
    with pytest.raises(RunInProgressError, match=attended.id):
        service.submit(drivers, ready)
    with drivers.db.transaction(ready.org_id) as tx:
        wanted = RunRequest(org_id=ready.org_id, integration_id=ready.id, provider="github", trigger="schedule")
        assert service.enqueue(drivers, tx, [wanted]) == {ready.id: None}


def test_a_long_line_of_one_organization_holds_up_no_other(drivers, server_of_many):
    server_of_many.line("alpha", 50)
    server_of_many.line("beta", 1)
    join(drivers, concurrency=2)
    assert service.dispatch(drivers) == 2
    assert server_of_many.holders() == {"alpha": 1, "beta": 1}


def test_free_slots_go_round_and_none_is_left_empty(drivers, server_of_many):
    server_of_many.line("alpha", 9)
    server_of_many.line("beta", 2)
    join(drivers, concurrency=8)
    assert service.dispatch(drivers) == 8
    assert server_of_many.holders() == {"alpha": 6, "beta": 2}


def test_turns_go_round_and_meet_everybody_before_anybody_again(drivers, server_of_many):
    names = [f"org-{number}" for number in range(7)]
    for name in names:
        server_of_many.line(name, 3)
    join(drivers, concurrency=2)
    served = []
    for _ in range(10):
        service.dispatch(drivers)
        served += server_of_many.holders()
        server_of_many.end_those_under_way()
    assert len(set(served[:6])) == 6
    assert Counter(served[:14]) == dict.fromkeys(names, 2)
    assert len(served) == 20


def test_who_has_a_run_under_way_waits_for_those_that_have_none(drivers, server_of_many):
    server_of_many.line("alpha", 5)
    join(drivers, concurrency=2)
    assert service.dispatch(drivers) == 2
    server_of_many.end_those_under_way(1)
    for name in ("beta", "gamma"):
        server_of_many.line(name, 1)
    service.dispatch(drivers)
    server_of_many.end_those_under_way(1)
    service.dispatch(drivers)
    assert set(server_of_many.holders()) == {"beta", "gamma"}


def test_runs_that_wait_to_be_tried_again_hold_up_nobody_and_come_back_in_time(drivers, server_of_many):
    server_of_many.line("alpha", 3)
    server_of_many.line("beta", 1)
    server_of_many.put_off("alpha", "1 hour")
    join(drivers, concurrency=1)
    assert service.dispatch(drivers) == 1
    assert server_of_many.holders() == {"beta": 1}
    server_of_many.put_off("alpha", "0 seconds")
    assert service.dispatch(drivers) == 0
    server_of_many.end_those_under_way()
    assert service.dispatch(drivers) == 1
    assert server_of_many.holders() == {"alpha": 1}


@pytest.mark.parametrize(
    ("limits", "held"),
    [
        pytest.param(QueueSettings(total=3), {"alpha": 2, "beta": 1}, id="total"),
        pytest.param(QueueSettings(per_organization=2), {"alpha": 2, "beta": 1}, id="per organization"),
        pytest.param(QueueSettings(per_provider=1), {"alpha": 1, "beta": 1}, id="per provider"),
    ],
)
def test_limits_hold(drivers, server_of_many, limits, held):
    server_of_many.line("alpha", 5)
    server_of_many.line("beta", 1)
    join(drivers, concurrency=20)
    with drivers.db.anonymous() as tx:
        queries.dispatch(
            tx,
            total=limits.total,
            per_org=limits.per_organization,
            per_provider=limits.per_provider,
            alive=timedelta(seconds=9),
        )
    assert server_of_many.holders() == held


def test_a_provider_at_its_limit_holds_up_nothing_else(drivers, server_of_many):
    server_of_many.line("alpha", 5, provider="salesforce")
    server_of_many.line("alpha", 1, provider="github")
    join(drivers, concurrency=20)
    with drivers.db.anonymous() as tx:
        queries.dispatch(tx, total=99, per_org=99, per_provider=1, alive=timedelta(seconds=9))
    assert server_of_many.providers() == {"salesforce": 1, "github": 1}
