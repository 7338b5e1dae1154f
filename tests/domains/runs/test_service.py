from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from time import sleep

import pytest
from sqlalchemy import text

from orchestrator.domains.identity import service as identity
from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.errors import NothingSelectedError, UnknownStreamError
from orchestrator.domains.integrations.types import Health
from orchestrator.domains.runs import queries, service
from orchestrator.domains.runs.errors import (
    AmbiguousRunError,
    LeaseLostError,
    RunEndedError,
    RunInProgressError,
    RunInTheWayError,
    StateBusyError,
    UnknownRunError,
    UnknownStateError,
)
from orchestrator.domains.runs.types import FailureKind, Origin, RunStatus
from orchestrator.drivers.liveness import WorkerMark
from orchestrator.drivers.meltano.output import BlockCompleted, Level, Source
from orchestrator.drivers.meltano.process import Stopped
from orchestrator.kernel.db import Role
from tests.fakes.meltano import NOW, counted, said, singer_state
from tests.fixtures.drivers import as_killed

MARCH = {"replication_key": "at", "replication_key_value": "2024-03-01"}
APRIL = {"replication_key": "at", "replication_key_value": "2024-04-01"}


@pytest.fixture
def all_well(meltano):
    meltano.outputs = [
        said("reading users"),
        counted(Source.TAP, "users", 10),
        counted(Source.TAP, "users", 2, "deleted_count"),
        counted(Source.TARGET, "users", 10),
    ]
    meltano.states = [singer_state(users=MARCH)]
    return meltano


def synced(drivers, integration, **options):
    return service.execute(drivers, integration, service.request(drivers, integration, **options))


def events(drivers, org_id):
    with drivers.db.transaction(org_id) as tx:
        return tx.scalars(text("SELECT name FROM orchestrator.events WHERE name LIKE 'run.%' ORDER BY id")).all()


def positions(drivers, integration):
    return {entry.stream: entry.bookmark for entry in service.show(drivers, integration)}


def test_a_sync_ends_once_with_its_counts_log_and_state(drivers, ready, all_well):
    run = synced(drivers, ready)
    assert (run.status, run.failure, run.epoch) == (RunStatus.SUCCEEDED, None, 1)
    [count] = service.counts(drivers, run)
    assert (count.read, count.written, count.deleted) == (10, 10, 2)
    assert [entry.message for entry in service.logs(drivers, run)] == [
        "Syncing teams, users into our_code.",
        "reading users",
    ]
    assert positions(drivers, ready) == {"users": {"completed": MARCH}}
    assert events(drivers, ready.org_id) == ["run.started.v1", "run.ended.v1"]
    assert integrations.find(drivers, ready.org_id, ready.id).health is Health.HEALTHY


def test_the_next_sync_begins_where_this_one_ended(drivers, ready, all_well):
    synced(drivers, ready)
    synced(drivers, ready)
    assert all_well.began_with == singer_state(users=MARCH)


def test_a_full_refresh_of_one_stream_leaves_the_state_of_others_alone(drivers, ready, all_well):
    all_well.states = [singer_state(users=MARCH, teams={"page": 3})]
    synced(drivers, ready)
    all_well.states = [singer_state(users=APRIL)]
    synced(drivers, ready, streams=["users"], full_refresh=True)
    assert all_well.began_with == singer_state(teams={"page": 3})
    assert positions(drivers, ready) == {"users": {"completed": APRIL}, "teams": {"completed": {"page": 3}}}


def test_state_is_committed_during_the_run_even_where_it_fails_later(drivers, ready, all_well):
    all_well.code = 1
    all_well.block = BlockCompleted(at=NOW, success=False, seconds=1.0, extractor_code=1)
    all_well.error = "503 Service Unavailable"
    run = synced(drivers, ready)
    assert run.status is RunStatus.FAILED
    assert run.failure is not None
    assert (run.failure.origin, run.failure.message) == (Origin.SOURCE, "503 Service Unavailable")
    assert positions(drivers, ready) == {"users": {"completed": MARCH}}
    assert integrations.find(drivers, ready.org_id, ready.id).health is Health.DEGRADED


def test_lost_records_make_a_partial_run(drivers, ready, all_well):
    all_well.outputs = [counted(Source.TAP, "users", 10), counted(Source.TARGET, "users", 9)]
    run = synced(drivers, ready)
    assert (run.status, service.counts(drivers, run)[0].rejected) == (RunStatus.PARTIAL, 1)


def test_bytes_are_what_the_loader_counts_and_unknown_where_it_counts_none(drivers, ready, all_well):
    unknown = service.counts(drivers, synced(drivers, ready))[0]
    all_well.outputs += [counted(side, "users", size, "byte_count") for side in Source for size in (2**40, 5)]
    known = service.counts(drivers, synced(drivers, ready))[0]
    assert (unknown.bytes, known.bytes) == (None, 2**40 + 5)


def test_what_a_failed_run_did_not_write_was_not_rejected(drivers, ready, all_well):
    all_well.outputs, all_well.code = [counted(Source.TAP, "users", 10), counted(Source.TARGET, "users", 9)], 1
    run = synced(drivers, ready)
    assert (run.status, service.counts(drivers, run)[0].rejected) == (RunStatus.FAILED, None)


def test_a_loader_that_lost_every_record_makes_a_partial_run(drivers, ready, all_well):
    all_well.outputs = [counted(Source.TAP, "users", 10)]
    assert synced(drivers, ready).status is RunStatus.PARTIAL


def test_state_nobody_can_read_makes_a_partial_run(drivers, ready, all_well):
    all_well.invalid_states = 1
    assert synced(drivers, ready).status is RunStatus.PARTIAL


def test_secrets_too_short_to_redact_are_told(drivers, ready, all_well):
    all_well.unredacted = 2
    last = service.logs(drivers, synced(drivers, ready))[-1]
    assert (last.level, "too short" in last.message) == ("warning", True)


def test_a_full_disk_is_nobodys_elses_fault(drivers, ready, all_well):
    all_well.code, all_well.storage_full, all_well.error = 1, True, "OSError: [Errno 28] No space left on device"
    run = synced(drivers, ready)
    assert run.failure is not None
    assert (run.failure.kind, run.failure.origin, run.failure.retryable) == (
        FailureKind.INTERNAL,
        Origin.PLATFORM,
        True,
    )
    assert "run's directory" in run.failure.message


def test_an_integration_runs_at_most_one_sync(drivers, ready):
    first = service.request(drivers, ready)
    with pytest.raises(RunInProgressError, match=first.id) as caught:
        service.request(drivers, ready)
    assert caught.value.exit_code == 5


def test_of_many_requests_at_once_one_wins(drivers, ready):
    def ask(_):
        try:
            return service.request(drivers, ready).id
        except RunInProgressError:
            return None

    with ThreadPoolExecutor(6) as pool:
        winners = [found for found in pool.map(ask, range(6)) if found]
    assert len(winners) == 1


def test_what_could_not_run_is_not_queued(drivers, ready):
    with pytest.raises(UnknownStreamError):
        service.request(drivers, ready, streams=["nope"])
    integrations.choose(drivers, ready, ["*"], selected=False)
    with pytest.raises(NothingSelectedError):
        service.request(drivers, ready)
    assert service.listing(drivers, ready.org_id) == []


def test_a_run_is_done_by_one_worker_only(drivers, ready, all_well):
    run = service.request(drivers, ready)
    service.execute(drivers, ready, run)
    with pytest.raises(RunEndedError):
        service.execute(drivers, ready, run)


def test_somebody_else_can_cancel_a_running_sync(drivers, ready, all_well):
    run = service.request(drivers, ready)

    def cancel_and_wait(meltano):
        service.cancel(drivers, run)
        assert meltano.cancel.wait(60), "the heartbeat sees it"

    all_well.act = cancel_and_wait
    ended = service.execute(drivers, ready, run)
    assert (ended.status, ended.failure) == (RunStatus.CANCELLED, None)
    with pytest.raises(RunEndedError):
        service.cancel(drivers, ended)


def test_a_queued_run_is_cancelled_at_once(drivers, ready):
    run = service.cancel(drivers, service.request(drivers, ready))
    assert run.status is RunStatus.CANCELLED
    assert events(drivers, ready.org_id) == ["run.ended.v1"]


def test_a_run_that_takes_too_long_says_how_long(drivers, ready, all_well):
    all_well.stopped = Stopped.TIMED_OUT
    run = synced(drivers, ready, timeout=timedelta(minutes=90))
    assert run.status is RunStatus.TIMED_OUT
    assert run.failure is not None
    assert "1 h 30 min" in run.failure.message


def test_a_plan_that_fails_fails_the_run_with_the_reason(drivers, ready, monkeypatch):
    drivers.settings.key_file.unlink()
    del drivers.__dict__["keys"]
    run = synced(drivers, ready)
    assert run.failure is not None
    assert (run.status, run.failure.kind) == (RunStatus.FAILED, FailureKind.CONFIG_ERROR)
    assert "master key" in run.failure.message


def test_a_defect_of_our_own_still_ends_the_run(drivers, ready, all_well):
    def break_down(_):
        raise ZeroDivisionError

    all_well.act = break_down
    run = service.request(drivers, ready)
    with pytest.raises(ZeroDivisionError):
        service.execute(drivers, ready, run)
    ended = service.find(drivers, ready.org_id, run.id)
    assert ended.status is RunStatus.FAILED
    assert ended.failure is not None
    assert ended.failure.kind is FailureKind.INTERNAL


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


def test_complaints_are_kept_with_their_level(drivers, ready, all_well):
    all_well.outputs.append(said("it broke", level=Level.ERROR, source=Source.TARGET))
    run = synced(drivers, ready)
    last = service.logs(drivers, run)[-1]
    assert (last.level, last.source, last.message) == ("error", "target", "it broke")


def test_a_log_is_read_on_from_a_cursor(drivers, ready, all_well):
    all_well.outputs = [said(f"line {number}") for number in range(30)]
    run = synced(drivers, ready)
    tail = service.logs(drivers, run, last=3)
    assert [entry.message for entry in tail] == ["line 27", "line 28", "line 29"]
    assert service.logs(drivers, run, after=tail[1].id) == [tail[2]]


def test_runs_are_listed_newest_first_and_found_by_a_beginning(drivers, ready, all_well):
    first, second = synced(drivers, ready), synced(drivers, ready)
    assert [run.id for run in service.listing(drivers, ready.org_id)] == [second.id, first.id]
    assert service.listing(drivers, ready.org_id, statuses=[RunStatus.FAILED]) == []
    assert service.find(drivers, ready.org_id, first.id) == first
    with pytest.raises(AmbiguousRunError, match="several"):
        service.find(drivers, ready.org_id, "run_0")
    with pytest.raises(UnknownRunError):
        service.find(drivers, ready.org_id, "")


def test_another_organization_sees_no_run(drivers, ready, all_well):
    run = synced(drivers, ready)
    other = identity.ensure(drivers.db, "other")
    assert service.listing(drivers, other.org_id) == []
    with pytest.raises(UnknownRunError):
        service.find(drivers, other.org_id, run.id)


@pytest.fixture
def history(drivers, ready, all_well):
    """Two syncs: users at March, then at April."""
    synced(drivers, ready)
    all_well.states = [singer_state(users=APRIL, teams={"page": 1})]
    synced(drivers, ready)
    return service.history(drivers, ready)


def test_history_only_grows_and_is_shown_newest_first(drivers, ready, history):
    assert [(entry.stream, entry.reason) for entry in history][-1] == ("users", "run")
    assert len(history) == 3
    assert [entry.id for entry in history] == sorted((entry.id for entry in history), reverse=True)
    assert {entry.stream for entry in service.history(drivers, ready, stream="users")} == {"users"}
    with pytest.raises(UnknownStreamError):
        service.history(drivers, ready, stream="nope")


def test_a_rollback_first_says_what_comes_again(drivers, ready, history):
    oldest = history[-1]
    moves = service.rollback(drivers, ready, oldest.id, apply=False)
    told = {move.stream: (move.before, move.after, move.reread) for move in moves}
    assert told["users"] == ({"completed": APRIL}, {"completed": MARCH}, 10)
    assert told["teams"][1] is None
    assert positions(drivers, ready)["users"] == {"completed": APRIL}, "nothing has changed yet"


def test_a_rollback_appends_and_the_next_sync_begins_there(drivers, ready, history, all_well):
    service.rollback(drivers, ready, history[-1].id, streams=["users"], apply=True)
    assert positions(drivers, ready) == {"users": {"completed": MARCH}, "teams": {"completed": {"page": 1}}}
    assert len(service.history(drivers, ready)) == 4
    synced(drivers, ready)
    assert all_well.began_with == singer_state(users=MARCH, teams={"page": 1})


def test_a_reset_starts_over_and_keeps_the_history(drivers, ready, history, all_well):
    assert {move.stream for move in service.reset(drivers, ready, apply=False)} == {"users", "teams"}
    service.reset(drivers, ready, streams=["users"], apply=True)
    assert positions(drivers, ready)["users"] is None
    assert service.reset(drivers, ready, streams=["users"], apply=False) == []
    synced(drivers, ready)
    assert all_well.began_with == singer_state(teams={"page": 1})


def test_unknown_states_and_streams_are_refused(drivers, ready, history):
    with pytest.raises(UnknownStateError):
        service.rollback(drivers, ready, 999_999, apply=True)
    with pytest.raises(UnknownStreamError):
        service.reset(drivers, ready, streams=["nope"], apply=True)


def test_a_run_requested_while_state_is_changed_waits_for_it(drivers, ready, history):
    with ThreadPoolExecutor(1) as pool:
        with drivers.db.transaction(ready.org_id) as tx:
            integrations.hold(tx, ready.id)
            asked = pool.submit(service.request, drivers, ready)
            while not tx.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")):
                assert not asked.done(), "it must wait"
        assert asked.result(timeout=30).status is RunStatus.QUEUED


def test_state_is_not_changed_under_a_running_sync(drivers, ready, history):
    service.request(drivers, ready)
    with pytest.raises(StateBusyError):
        service.reset(drivers, ready, apply=True)


@pytest.mark.parametrize("how", [service.request, service.submit])
def test_what_is_in_a_runs_way_and_is_never_found_is_not_tried_for_ever(drivers, ready, how, monkeypatch):
    service.request(drivers, ready)
    monkeypatch.setattr("orchestrator.domains.runs.queries.active_run", lambda _tx, _id: None)  # a kind we don't know
    with pytest.raises(RunInTheWayError, match="'Our code' could not be given a run"):
        how(drivers, ready)
