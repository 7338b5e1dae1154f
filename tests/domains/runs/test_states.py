"""State: its history, going back, starting over."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import text

from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.errors import UnknownStreamError
from orchestrator.domains.integrations.types import Mode
from orchestrator.domains.runs import service
from orchestrator.domains.runs.errors import (
    StateBusyError,
    UnknownStateError,
)
from orchestrator.domains.runs.types import RunKind, RunStatus
from tests.domains.runs.syncs import MARCH, positions, synced
from tests.fakes.meltano import singer_state

APRIL = {"replication_key": "at", "replication_key_value": "2024-04-01"}


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


def continued(meltano):
    """The streams of which the loader was told, in the latest run, that earlier records must be there."""
    return meltano.ran[-1].loader.config.get("continued_streams", [])


def test_a_loader_is_told_which_streams_bring_only_what_changed_since_earlier_runs(drivers, ready, history, all_well):
    synced(drivers, ready)
    assert continued(all_well) == ["users"], "of teams nothing was ever written"


_NO_PLACE = """UPDATE orchestrator.stream_states SET bookmark = '{"completed": {"page": 1}}'"""


@pytest.mark.parametrize(
    ("but", "told"),
    [
        pytest.param("SELECT 1", ["users"], id="as they ended well"),
        pytest.param("UPDATE orchestrator.runs SET status = 'failed'", [], id="they failed"),
        pytest.param(_NO_PLACE, [], id="the tap may have read it for another stream alone"),
    ],
)
def test_a_loader_is_still_told_when_all_that_runs_counted_is_forgotten(drivers, ready, history, all_well, but, told):
    all_well.outputs = []
    synced(drivers, ready)
    with drivers.db.connection() as owner:
        owner.execute(text("UPDATE orchestrator.runs SET finished_at = now() - interval '100 days'"))
        owner.execute(text(but))
    service.prune(drivers, ready.org_id, keep=timedelta(days=90))
    synced(drivers, ready)
    assert continued(all_well) == told


def test_a_stream_that_is_read_whole_in_every_run_needs_no_earlier_records(drivers, ready, history, all_well):
    integrations.change_mode(drivers, ready, ["users"], Mode.FULL_TABLE)
    synced(drivers, ready)
    assert positions(drivers, ready)["users"], "the bookmark of former times is still there"
    assert continued(all_well) == []


def test_a_loader_is_told_whose_schema_it_loads_into(drivers, ready, history, all_well):
    synced(drivers, ready)
    assert all_well.ran[-1].loader.config["claimed_by"] == f"Orchestrator integration {ready.id}"


def test_whatever_reads_everything_or_loads_elsewhere_needs_no_earlier_records(drivers, ready, history, all_well):
    synced(drivers, ready, full_refresh=True)
    assert continued(all_well) == []
    synced(drivers, ready, kind=RunKind.DRY_RUN)
    assert continued(all_well) == []
    service.reset(drivers, ready, streams=["users"], apply=True)
    synced(drivers, ready)
    assert continued(all_well) == []


def test_a_first_sync_needs_no_earlier_records(drivers, ready, all_well):
    synced(drivers, ready)
    assert continued(all_well) == []
