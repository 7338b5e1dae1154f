"""Asking for runs: one at a time for each integration; cancelling."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.errors import NothingSelectedError, UnknownStreamError
from orchestrator.domains.runs import service
from orchestrator.domains.runs.errors import (
    RunEndedError,
    RunInProgressError,
    RunInTheWayError,
)
from orchestrator.domains.runs.types import RunStatus
from tests.domains.runs.syncs import events


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


@pytest.mark.parametrize("how", [service.request, service.submit])
def test_what_is_in_a_runs_way_and_is_never_found_is_not_tried_for_ever(drivers, ready, how, monkeypatch):
    service.request(drivers, ready)
    monkeypatch.setattr("orchestrator.domains.runs.queries.active_run", lambda _tx, _id: None)  # a kind we don't know
    with pytest.raises(RunInTheWayError, match="'Our code' could not be given a run"):
        how(drivers, ready)
