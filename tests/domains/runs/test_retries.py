"""An organization sets when its runs are tried again; what it leaves open is the operator's."""

import threading
from datetime import timedelta

import pytest

from orchestrator.domains.identity import service as identity
from orchestrator.domains.runs import rules, service
from orchestrator.domains.runs.types import (
    PASSING,
    Attempt,
    Failure,
    FailureKind,
    Origin,
    OwnRetryPolicy,
    RetryPolicy,
    RunStatus,
)

OPERATORS = RetryPolicy(attempts=3, backoff=timedelta(seconds=30), longest=timedelta(hours=1))


@pytest.fixture
def tried(drivers, ready, meltano):
    """Do a detached run that fails in passing; how it then stands."""
    service.join(drivers, host="here", pid=1, version="0", concurrency=1)

    def call(error="503 Service Unavailable"):
        meltano.code, meltano.error = 1, error
        run = service.submit(drivers, ready)
        taken = service.take(drivers, ready.org_id, run.id, drain=threading.Event())
        if not taken.status.ended:
            service.cancel(drivers, taken)
        return taken.status

    return call


def test_what_is_set_holds_for_the_next_try_that_fails_and_what_is_reset_no_more(command, tried):
    assert tried() is RunStatus.RETRYING
    assert command("retries", "set", "--attempts", "1").code == 0
    assert tried() is RunStatus.FAILED
    assert command("retries", "reset").code == 0
    assert tried() is RunStatus.RETRYING


def test_failures_of_other_kinds_than_those_named_end_the_run(command, tried):
    command("retries", "set", "--kind", "rate_limited", "--kind", "worker_lost")
    assert tried() is RunStatus.FAILED
    assert tried("429 Too Many Requests") is RunStatus.RETRYING


def test_it_is_shown_with_what_was_set_here(command):
    usual = command("retries", "show", "--json").json
    assert (usual["attempts"], usual["backoff_seconds"], usual["longest_seconds"]) == (3, 30, 3600)
    assert usual["own"] == {"attempts": None, "backoff_seconds": None, "longest_seconds": None, "kinds": None}
    command("retries", "set", "--attempts", "5")
    after = command("retries", "set", "--backoff", "2m", "--longest", "10m", "--json").json
    assert (after["attempts"], after["backoff_seconds"], after["longest_seconds"]) == (5, 120, 600)
    assert after["own"]["attempts"] == 5, "what was set before stays"
    shown = command("retries", "show").out
    assert "5 (set here)" in shown
    assert "2 min (set here)" in shown
    assert "source_error" in shown


@pytest.mark.parametrize(
    ("arguments", "said_so"),
    [
        pytest.param(("--attempts", "0"), "0 attempts", id="none"),
        pytest.param(("--attempts", "21"), "21 attempts", id="too many"),
        pytest.param(("--backoff", "8d"), "too long", id="too long"),
        pytest.param(("--backoff", "-5s"), "not a duration", id="negative"),
        pytest.param(("--backoff", "2h", "--longest", "1h"), "begin at 2 h and end at 1 h", id="ends before it begins"),
        pytest.param(("--kind", "auth_expired"), "auth_expired: somebody must act", id="needs a person"),
        pytest.param(("--kind", "bad luck"), "bad luck", id="no kind"),
        pytest.param((), "Nothing was named", id="nothing"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_nothing_is_set(command, arguments, said_so):
    answer = command("retries", "set", *arguments)
    assert answer.code == 2
    assert said_so in answer.err
    assert command("retries", "show", "--json").json["own"]["attempts"] is None


def test_other_organizations_go_on_as_they_were(drivers, org_id):
    other = identity.ensure(drivers.db, "other").org_id
    service.set_retries(drivers, org_id, lambda _: OwnRetryPolicy(attempts=7))
    assert [service.retries(drivers, one)[0].attempts for one in (org_id, other)] == [7, 3]


@pytest.mark.parametrize("kind", sorted(PASSING))
def test_every_passing_kind_is_tried_again_unless_it_was_left_out(kind):
    failure = Failure(kind=kind, origin=Origin.SOURCE, message="503", retryable=True)
    attempt = Attempt(org_id="o", run_id="r", integration_id="i", epoch=1, number=1)
    left_out = rules.effective(OwnRetryPolicy(kinds=PASSING - {kind}), OPERATORS)
    assert rules.next_attempt(RunStatus.FAILED, failure, attempt, OPERATORS) is not None
    assert rules.next_attempt(RunStatus.FAILED, failure, attempt, left_out) is None


def test_waits_grow_to_the_longest_and_are_never_shorter_than_the_first():
    attempt = Attempt(org_id="o", run_id="r", integration_id="i", epoch=9, number=9)
    failure = Failure(kind=FailureKind.SOURCE_ERROR, origin=Origin.SOURCE, message="503", retryable=True)
    own = rules.effective(OwnRetryPolicy(attempts=20, longest=timedelta(minutes=2)), OPERATORS)
    wait = rules.next_attempt(RunStatus.FAILED, failure, attempt, own)
    assert timedelta(seconds=96) <= wait <= timedelta(seconds=144)
    assert rules.effective(OwnRetryPolicy(backoff=timedelta(hours=3)), OPERATORS).longest == timedelta(hours=3)
