"""What a sync leaves: its end, counts, log and state."""

from datetime import timedelta

import pytest

from orchestrator.domains.identity import service as identity
from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.types import Health
from orchestrator.domains.runs import service
from orchestrator.domains.runs.errors import (
    AmbiguousRunError,
    UnknownRunError,
)
from orchestrator.domains.runs.types import FailureKind, Origin, RunStatus
from orchestrator.drivers.meltano.output import BlockCompleted, Level, Source
from orchestrator.drivers.meltano.process import Stopped
from tests.domains.runs.syncs import MARCH, events, positions, synced
from tests.fakes.meltano import NOW, counted, said, singer_state

APRIL = {"replication_key": "at", "replication_key_value": "2024-04-01"}


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


def test_a_full_refresh_that_fails_is_not_followed_by_a_sync_of_changes_alone(drivers, ready, all_well):
    all_well.states = [singer_state(users=MARCH, teams={"page": 3})]
    synced(drivers, ready)
    all_well.states, all_well.code = [], 1
    assert synced(drivers, ready, streams=["users"], full_refresh=True).status is RunStatus.FAILED
    assert positions(drivers, ready) == {"users": None, "teams": {"completed": {"page": 3}}}
    all_well.states, all_well.code = [singer_state(users=MARCH)], 0
    synced(drivers, ready)
    assert all_well.began_with == singer_state(teams={"page": 3})
    assert positions(drivers, ready)["users"] == {"completed": MARCH}


def test_a_full_refresh_that_ends_where_the_stream_was_keeps_its_state(drivers, ready, all_well):
    synced(drivers, ready)
    synced(drivers, ready, full_refresh=True)
    assert positions(drivers, ready) == {"users": {"completed": MARCH}}


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
