"""What was handed to a worker that never claimed it, or died."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.types import NewIntegration
from orchestrator.domains.runs import queries, service
from orchestrator.domains.runs.types import (
    RunRequest,
    RunStatus,
)
from orchestrator.kernel.db import Role
from tests.domains.runs.lines import handed, line
from tests.fixtures.drivers import GITHUB

MINUTE = timedelta(minutes=1)
pytestmark = pytest.mark.usefixtures("unhurried")


def test_what_was_handed_over_and_never_claimed_goes_back(drivers, ready, joined):
    run = service.submit(drivers, ready)
    with drivers.db.anonymous(role=Role.WORKER) as tx:
        assert queries.requeue_unclaimed(tx, after=timedelta(minutes=1), alive=MINUTE) == 0
        assert queries.requeue_unclaimed(tx, after=timedelta(), alive=MINUTE) == 1
    assert handed(drivers) == {}
    service.beat(drivers, draining=False)
    assert service.dispatch(drivers) == 1
    assert list(handed(drivers)) == [run.id]


def test_a_worker_that_let_a_run_lie_is_handed_nothing_before_it_says_that_it_lives(drivers, ready, joined, unhurried):
    run = service.submit(drivers, ready)
    with drivers.db.connection() as connection:
        connection.execute(text("UPDATE orchestrator.run_queue SET dispatched_at = now() - interval '6 seconds'"))
    service.look_after(drivers)
    [place] = line(drivers)
    assert (place.dispatched_at, place.worker, place.attempts) == (None, None, 0), "it cost no try"
    assert [one.alive for one in service.workers(drivers)] == [False]

    service.beat(drivers, draining=False)

    assert service.dispatch(drivers) == 1
    assert list(handed(drivers)) == [run.id]


def test_a_worker_that_claims_late_what_was_given_back_holds_its_slot(drivers, ready, joined):
    run = service.submit(drivers, ready)
    with drivers.db.anonymous(role=Role.WORKER) as tx:
        queries.requeue_unclaimed(tx, after=timedelta(), alive=MINUTE)
    with drivers.db.transaction(ready.org_id, role=Role.WORKER) as tx:
        assert queries.claim(tx, run.id, worker="late", lease=MINUTE)
    assert handed(drivers) == {run.id: "late"}
    service.beat(drivers, draining=False)
    assert service.dispatch(drivers) == 0


def test_a_worker_that_was_killed_here_is_neither_listed_nor_handed_anything(drivers, ready, killed, command):
    service.submit(drivers, ready)
    assert handed(drivers) == {}
    assert command("workers", "list", "--json").json == []


def test_what_was_handed_to_a_worker_that_was_killed_here_goes_to_another_at_once(drivers, ready, killed, joined):
    run = service.submit(drivers, ready)
    with drivers.db.connection() as connection:
        connection.execute(text("UPDATE orchestrator.run_queue SET worker = :killed"), {"killed": killed})
    assert service.died_here(drivers)

    service.look_after(drivers)

    [place] = line(drivers)
    assert (handed(drivers), place.attempts) == ({run.id: drivers.worker.name}, 0)
    assert not service.died_here(drivers)


@pytest.fixture
def lost(drivers, place, ready, killed):
    """Three runs of the killed worker."""
    more = [integrations.add(drivers, place, NewIntegration(type="github", name=name, values=GITHUB)) for name in "BC"]
    made = []
    for one in (ready, *more):
        with drivers.db.transaction(one.org_id) as tx:
            wanted = RunRequest(org_id=one.org_id, integration_id=one.id, provider="github", trigger="t")
            made.append(service.enqueue(drivers, tx, [wanted])[one.id])
        with drivers.db.transaction(one.org_id, role=Role.WORKER) as tx:
            queries.claim(tx, made[-1].id, worker=killed, lease=timedelta(minutes=5))
    return made


def test_every_run_of_a_worker_that_was_killed_here_is_seen_to_with_one_look(drivers, lost):
    assert [one.status for one in service.recover(drivers)] == 3 * [RunStatus.RETRYING]
    assert service.recover(drivers) == []


def test_a_lost_run_that_can_not_be_ended_holds_up_no_other_and_is_tried_again(drivers, lost, caplog):
    def sql(statement):
        with drivers.db.connection() as connection:
            connection.execute(text(statement))

    sql(f"ALTER TABLE orchestrator.events ADD CONSTRAINT refused CHECK (payload ->> 'run_id' <> '{lost[0].id}')")
    try:
        assert {one.id for one in service.recover(drivers)} == {lost[1].id, lost[2].id}
        assert f"{lost[0].id} lost its worker and could not be ended" in caplog.text
    finally:
        sql("ALTER TABLE orchestrator.events DROP CONSTRAINT refused")
    sql("UPDATE orchestrator.run_attempts SET lease_until = now()")
    assert [one.id for one in service.recover(drivers)] == [lost[0].id]
