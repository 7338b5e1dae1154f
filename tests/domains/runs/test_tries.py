"""What becomes of a try that didn't end well."""

import threading
from datetime import timedelta

import pytest
from sqlalchemy import text

from orchestrator.domains.runs import queries, service
from orchestrator.domains.runs.errors import LeaseLostError
from orchestrator.domains.runs.types import (
    FailureKind,
    RunStatus,
)
from orchestrator.drivers.liveness import WorkerMark
from orchestrator.kernel.db import Role
from tests.domains.runs.lines import due_now, line
from tests.fakes.meltano import singer_state
from tests.fixtures.drivers import as_killed

MARCH = {"replication_key": "at", "replication_key_value": "2024-03-01"}
pytestmark = pytest.mark.usefixtures("unhurried")


def test_a_worker_that_stops_gives_its_run_back_once_state_is_committed(drivers, ready, joined, meltano):
    run = service.submit(drivers, ready)
    drain = threading.Event()
    drain.set()
    meltano.states = [singer_state(users=MARCH)]
    meltano.act = lambda fake: fake.cancel.wait(60)
    given_back = service.take(drivers, ready.org_id, run.id, drain=drain)
    assert given_back is not None
    assert (given_back.status, given_back.failure) == (RunStatus.RETRYING, None)
    [place] = line(drivers)
    assert (place.attempts, place.dispatched_at) == (0, None), "giving back costs no try"
    assert [entry.bookmark for entry in service.show(drivers, ready)] == [{"completed": MARCH}]
    meltano.act = None
    assert service.dispatch(drivers) == 1
    again = service.take(drivers, ready.org_id, run.id, drain=threading.Event())
    assert again is not None
    assert (again.status, again.epoch) == (RunStatus.SUCCEEDED, 2)


def test_a_try_that_failed_in_passing_waits_for_the_next_and_the_last_one_ends_it(drivers, ready, joined, meltano):
    run = service.submit(drivers, ready)
    meltano.code, meltano.error = 1, "503 Service Unavailable"
    seen = []
    for _ in range(drivers.settings.queue.attempts):
        due_now(drivers)
        service.dispatch(drivers)
        taken = service.take(drivers, ready.org_id, run.id, drain=threading.Event())
        assert taken is not None
        seen.append(taken.status)
    assert seen == [RunStatus.RETRYING, RunStatus.RETRYING, RunStatus.FAILED]
    assert line(drivers) == []


def test_a_run_that_waits_to_be_tried_again_can_be_cancelled(drivers, ready, joined, meltano):
    run = service.submit(drivers, ready)
    meltano.code, meltano.error = 1, "503 Service Unavailable"
    service.take(drivers, ready.org_id, run.id, drain=threading.Event())
    assert service.cancel(drivers, run).status is RunStatus.CANCELLED
    assert line(drivers) == []


def test_a_run_whose_worker_died_goes_on_with_another_but_not_for_ever(drivers, ready, joined):
    run = service.submit(drivers, ready)
    for number in range(drivers.settings.queue.attempts):
        dead = WorkerMark(drivers.workers_folder)
        with drivers.db.transaction(ready.org_id, role=Role.WORKER) as tx:
            attempt = queries.claim(tx, run.id, worker=dead.name, lease=timedelta(minutes=5))
        assert attempt is not None
        assert attempt.number == number + 1
        as_killed(dead)
        ended = service.recover(drivers)
    assert [(one.status, one.failure.kind) for one in ended] == [(RunStatus.FAILED, FailureKind.WORKER_LOST)]
    with drivers.db.transaction(ready.org_id, role=Role.WORKER) as tx, pytest.raises(LeaseLostError):
        queries.append_state(tx, attempt, {"users": {"completed": MARCH}})


def test_a_run_of_an_integration_that_is_gone_ends_and_says_so(drivers, ready, joined):
    run = service.submit(drivers, ready)
    with drivers.db.connection() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))  # as if it had been a moment earlier
        connection.execute(text("UPDATE orchestrator.integrations SET deleted_at = clock_timestamp()"))
    ended = service.take(drivers, ready.org_id, run.id, drain=threading.Event())
    assert ended is not None
    assert ended.status is RunStatus.FAILED
