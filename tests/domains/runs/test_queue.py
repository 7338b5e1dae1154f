"""Detached runs: who waits, who is handed to whom, and what becomes of a try that didn't end well."""

import threading
from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import text

from orchestrator.domains.identity import service as identity
from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.types import NewIntegration
from orchestrator.domains.runs import queries, rules, service
from orchestrator.domains.runs.errors import LeaseLostError, RunInProgressError
from orchestrator.domains.runs.types import (
    Attempt,
    Failure,
    FailureKind,
    Origin,
    PlaceInLine,
    RetryPolicy,
    RunRequest,
    RunStatus,
)
from orchestrator.drivers.liveness import WorkerMark
from orchestrator.kernel import ids
from orchestrator.kernel.db import Role
from orchestrator.kernel.settings import QueueSettings, RunSettings
from tests.fakes.meltano import singer_state
from tests.fixtures.drivers import GITHUB, as_killed

POLICY = RetryPolicy(attempts=3, backoff=timedelta(seconds=30), longest=timedelta(hours=1))
MINUTE = timedelta(minutes=1)
MARCH = {"replication_key": "at", "replication_key_value": "2024-03-01"}


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


@pytest.fixture
def killed(drivers):
    """A worker of this machine that a SIGKILL ended, and that is listed as if it lived."""
    mark = WorkerMark(drivers.workers_folder)
    with drivers.db.anonymous(role=Role.WORKER) as tx:
        queries.register(tx, mark.name, host="here", pid=2, version="0", concurrency=4)
    as_killed(mark)
    return mark.name


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


def test_a_worker_that_stops_gives_its_run_back_once_state_is_committed(drivers, ready, joined, meltano):
    run = service.submit(drivers, ready)
    drain = threading.Event()
    drain.set()
    meltano.states = [singer_state(users=MARCH)]
    meltano.act = lambda fake: fake.cancel.wait(10)
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


def test_a_waiting_run_says_where_it_stands_and_why(drivers, ready, joined, meltano):
    run = service.submit(drivers, ready)
    assert service.waiting(drivers, run) is None, "it was handed over at once"
    meltano.code, meltano.error = 1, "503 Service Unavailable"
    service.take(drivers, ready.org_id, run.id, drain=threading.Event())
    place, reason = service.waiting(drivers, run)
    assert (place.position, place.attempts) == (1, 1)
    assert "its next attempt is in" in reason


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"slots": 0}, "no worker runs: orchestrator worker"),
        ({"again_in": timedelta(seconds=90), "attempts": 2}, "its next attempt is in 1 min 30 s, after 2 attempts"),
        ({"busy": 4}, "all 4 slots are taken"),
        ({"org_busy": 3}, "the organization has 3 runs under way, which is its limit"),
        ({"provider_busy": 2}, "2 runs at this provider are under way, which is the limit"),
        ({}, "is handed to a worker next"),
    ],
)
def test_why_a_run_waits(facts, reason):
    usual = {"position": 1, "org_busy": 0, "provider_busy": 0, "busy": 0, "slots": 4, "again_in": None, "attempts": 0}
    place = PlaceInLine(**{**usual, **facts})
    assert rules.waits_for(place, total=99, per_org=3, per_provider=2) == reason


class TestTheNextTry:
    def passing(self, **facts):
        usual = {"kind": FailureKind.SOURCE_ERROR, "retryable": True}
        return Failure(origin=Origin.SOURCE, message="503", **{**usual, **facts})

    def delay(self, failure, number=1, status=RunStatus.FAILED):
        attempt = Attempt(org_id="o", run_id="r", integration_id="i", epoch=number, number=number)
        return rules.next_attempt(status, failure, attempt, POLICY)

    def test_comes_later_each_time(self):
        first, second = self.delay(self.passing()), self.delay(self.passing(), number=2)
        assert first is not None and second is not None
        assert timedelta(seconds=24) <= first <= timedelta(seconds=36)
        assert timedelta(seconds=48) <= second <= timedelta(seconds=72)

    def test_never_comes_before_what_the_source_asked_for(self):
        assert self.delay(self.passing(kind=FailureKind.RATE_LIMITED, retry_after=600.0)) == timedelta(seconds=600)

    @pytest.mark.parametrize(
        ("failure", "number", "status"),
        [
            pytest.param({"kind": FailureKind.AUTH_EXPIRED}, 1, RunStatus.FAILED, id="somebody must sign in"),
            pytest.param({"kind": FailureKind.CONFIG_ERROR}, 1, RunStatus.FAILED, id="somebody must correct it"),
            pytest.param({"retryable": False}, 1, RunStatus.FAILED, id="it would fail again"),
            pytest.param({}, 3, RunStatus.FAILED, id="it was the last"),
            pytest.param({}, 0, RunStatus.FAILED, id="a person waits and decides"),
            pytest.param({}, 1, RunStatus.PARTIAL, id="it did not fail"),
        ],
    )
    def test_does_not_come_where(self, failure, number, status):
        assert self.delay(self.passing(**failure), number, status) is None


# What the sentences above lean on


@pytest.fixture(autouse=True)
def unhurried(drivers):
    """Heartbeats as in production: those of other tests are over before a busy machine has looked twice."""
    drivers.settings = drivers.settings.model_copy(update={"runs": RunSettings()})


def join(drivers, concurrency=4):
    service.join(drivers, host="here", pid=1, version="0", concurrency=concurrency)


@pytest.fixture
def joined(drivers):
    join(drivers)


@pytest.fixture
def server_of_many(drivers):
    return Lines(drivers)


class Lines:
    """Organizations with runs that wait; each run of an integration of its own, as one has at most one."""

    def __init__(self, drivers):
        self._drivers, self._orgs = drivers, {}

    def line(self, name, length, provider="github"):
        org = self._orgs.get(name) or identity.ensure(self._drivers.db, name).org_id
        self._orgs[name] = org
        with self._drivers.db.connection() as connection:
            connection.execute(text("SET LOCAL session_replication_role = replica"))  # no integrations behind them
            connection.execute(
                text(
                    "INSERT INTO orchestrator.run_queue (org_id, run_id, provider)"
                    " SELECT :org, gen_random_uuid(), :provider FROM generate_series(1, :length)"
                ),
                {"org": ids.decode("org", org), "provider": provider, "length": length},
            )

    def put_off(self, name, by):
        self._change(
            "UPDATE orchestrator.run_queue SET not_before = clock_timestamp() + CAST(:by AS interval)"
            " WHERE org_id = :org AND worker IS NULL",
            by=by,
            org=ids.decode("org", self._orgs[name]),
        )

    def end_those_under_way(self, most=1000):
        self._change(
            "DELETE FROM orchestrator.run_queue WHERE run_id IN (SELECT run_id FROM orchestrator.run_queue"
            " WHERE worker IS NOT NULL ORDER BY dispatched_at, run_id LIMIT :most)",
            most=most,
        )

    def _change(self, statement, **values):
        with self._drivers.db.connection() as connection:
            connection.execute(text(statement), values)

    def holders(self):
        names = {ids.decode("org", org): name for name, org in self._orgs.items()}
        return {names[org]: count for org, count in self._counted("org_id")}

    def providers(self):
        return dict(self._counted("provider"))

    def _counted(self, column):
        with self._drivers.db.connection() as connection:
            return connection.execute(
                text(f"SELECT {column}, count(*) FROM orchestrator.run_queue WHERE worker IS NOT NULL GROUP BY 1")
            ).all()


def line(drivers):
    with drivers.db.connection() as connection:
        return connection.execute(text("SELECT * FROM orchestrator.run_queue ORDER BY requested_at")).all()


def handed(drivers):
    return {ids.encode("run", place.run_id): place.worker for place in line(drivers) if place.dispatched_at}


def due_now(drivers):
    with drivers.db.connection() as connection:
        connection.execute(text("UPDATE orchestrator.run_queue SET not_before = NULL"))


def silence(drivers):
    with drivers.db.connection() as connection:
        connection.execute(text("UPDATE orchestrator.workers SET heartbeat_at = now() - interval '1 hour'"))
