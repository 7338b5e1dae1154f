"""Where a waiting run stands, why it waits, and when it is tried again."""

import threading
from datetime import timedelta

import pytest

from orchestrator.domains.runs import rules, service
from orchestrator.domains.runs.types import (
    Attempt,
    Failure,
    FailureKind,
    Origin,
    PlaceInLine,
    RetryPolicy,
    RunStatus,
)

POLICY = RetryPolicy(attempts=3, backoff=timedelta(seconds=30), longest=timedelta(hours=1))
pytestmark = pytest.mark.usefixtures("unhurried")


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
