from datetime import timedelta

import pytest

from orchestrator.domains.runs import rules
from orchestrator.domains.runs.rules import Outcome, signatures
from orchestrator.domains.runs.types import FailureKind, Fixer, Origin, Run, RunStatus
from orchestrator.drivers.http import UnreachableError
from tests.fakes.meltano import NOW


@pytest.fixture
def ended():
    """A failed run with this failure."""

    def make(failure):
        return Run(
            org_id="o",
            id="run_1",
            integration_id="i",
            status=RunStatus.FAILED,
            trigger="person",
            streams=None,
            full_refresh=False,
            timeout=timedelta(hours=1),
            detached=False,
            epoch=1,
            failure=failure,
            requested_at=NOW,
            started_at=NOW,
            finished_at=NOW,
        )

    return make


KNOWN = list(signatures.known().values())
WAITS = {FailureKind.RATE_LIMITED, FailureKind.QUOTA_EXCEEDED}
NEEDS_A_PERSON = {
    FailureKind.CONFIG_ERROR,
    FailureKind.AUTH_EXPIRED,
    FailureKind.PERMISSION_MISSING,
    FailureKind.CONSENT_MISSING,
    FailureKind.SCHEMA_VIOLATION,
}


@pytest.mark.parametrize("signature", KNOWN, ids=lambda one: one.id)
def test_a_line_as_it_was_seen_is_known_by_its_own_signature(signature):
    side = signature.origin or Origin.DESTINATION
    failure = rules.explain(Outcome(exit_code=1, side=side, complaints=("before", signature.example)))
    assert failure.signature == signature.id
    assert (failure.hint, failure.retryable) == (signature.hint, signature.retryable)


@pytest.mark.parametrize("signature", KNOWN, ids=lambda one: one.id)
def test_who_has_to_act_fits_whether_it_is_tried_again(signature):
    if signature.kind in WAITS:
        assert (signature.who, signature.retryable) == (Fixer.NOBODY, True)
    if signature.kind in NEEDS_A_PERSON:
        assert signature.who is not Fixer.NOBODY
        assert not signature.retryable
    if signature.who is Fixer.NOBODY:
        assert signature.retryable


@pytest.mark.parametrize("signature", KNOWN, ids=lambda one: one.id)
def test_words_for_people_are_whole_sentences(signature):
    for words in (signature.cause, signature.hint):
        assert words[0].isupper()
        assert words.endswith((".", "<id>", "<run>", "deselect", "--full-refresh"))
    assert signature.seen


def test_there_are_about_as_many_as_ways_to_fail():
    assert len(KNOWN) >= 60


@pytest.mark.parametrize(
    ("line", "side", "kind", "who"),
    [
        ("REQUEST_LIMIT_EXCEEDED: TotalRequests Limit exceeded.", Origin.SOURCE, "quota_exceeded", "nobody"),
        ("REQUEST_LIMIT_EXCEEDED: ConcurrentRequests Limit exceeded.", Origin.SOURCE, "rate_limited", "nobody"),
        ("invalid_grant: expired access/refresh token", Origin.SOURCE, "auth_expired", "source_admin"),
        ("permission denied for schema crm", Origin.DESTINATION, "permission_missing", "warehouse_admin"),
        ("permission denied for table users", Origin.SOURCE, "permission_missing", "source_admin"),
        ("[Errno 28] No space left on device", Origin.SOURCE, "internal", "operator"),
        ("sorry, too many clients already", Origin.SOURCE, "source_error", "source_admin"),
        ("sorry, too many clients already", Origin.DESTINATION, "destination_error", "warehouse_admin"),
        ("INVALID_FIELD: No such column 'X__c' on entity 'Account'", Origin.SOURCE, "schema_violation", "operator"),
        ("a sentence nobody knows", Origin.SOURCE, "source_error", "source_admin"),
    ],
)
def test_the_side_it_happened_on_tells_whose_it_is(line, side, kind, who, ended):
    failure = rules.explain(Outcome(exit_code=1, side=side, complaints=(line,)))
    assert failure.kind == kind
    assert rules.explained(ended(failure)).who == who


TOLD = (
    'FAILURE: {"kind":"%s","origin":"source","message":"Salesforce can\'t be reached (my.example.test: %s).",'
    '"hint":"Check it.","retryable":true}'
)


@pytest.mark.parametrize(
    ("kind", "said", "cause"),
    [
        ("source_error", "Connection refused", "Nothing listens at that address, or a firewall refuses us."),
        ("source_error", "Name or service not known", "The name of the server is not known here."),
        ("source_error", "No route to host", "There is no way from this machine to the server."),
        ("source_error", "Connection timed out", "Nothing answers at that address, or nothing does any more."),
        ("config_error", "certificate verify failed", "The server's certificate is not one that this machine trusts."),
    ],
)
def test_what_is_between_us_and_the_source_is_no_matter_of_its_admin_whoever_tells_it(kind, said, cause, ended):
    failure = rules.explain(Outcome(exit_code=1, side=Origin.SOURCE, complaints=(TOLD % (kind, said),)))
    shown = rules.explained(ended(failure))
    assert (failure.kind, shown.cause, shown.who, shown.todo) == (kind, cause, Fixer.OPERATOR, failure.hint)
    assert shown.todo.startswith("Check it.")


@pytest.mark.parametrize("reason", ["dns", "refused", "unreachable", "timeout", "tls", "reset"])
def test_an_address_that_we_ourselves_could_not_reach_is_explained_by_what_was_in_the_way(reason, ended):
    failure = rules.refused(UnreachableError("login.example.test:443", reason))
    assert failure.signature.startswith("network.")
    assert rules.explained(ended(failure)).who in {Fixer.OPERATOR, Fixer.NOBODY}


def test_what_a_plugin_tells_of_its_own_kind_is_not_read_as_another(ended):
    line = TOLD % ("quota_exceeded", "Connection refused")
    failure = rules.explain(Outcome(exit_code=1, side=Origin.SOURCE, complaints=(line,)))
    assert (failure.signature, rules.explained(ended(failure)).who) == (None, Fixer.NOBODY)


def test_a_warehouses_401_says_nothing_about_the_source():
    failure = rules.explain(Outcome(exit_code=1, side=Origin.DESTINATION, complaints=("401 Unauthorized",)))
    assert failure.kind is FailureKind.CONFIG_ERROR


def test_without_a_known_side_it_is_the_one_that_says_such_things():
    failure = rules.explain(Outcome(exit_code=1, complaints=("INVALID_SESSION_ID: Session expired or invalid",)))
    assert failure.origin is Origin.SOURCE


@pytest.mark.parametrize("wrong", [{"who": "me"}, {"kind": "bad_luck"}, {"origin": "moon"}, {"colour": "red"}])
def test_a_signature_that_makes_no_sense_is_refused(wrong):
    fine = {
        "id": "x",
        "pattern": "x",
        "origin": None,
        "who": "admin",
        "cause": "X.",
        "hint": "X.",
        "example": "x",
        "seen": "x",
    }
    assert signatures._signature(fine).id == "x"
    with pytest.raises((KeyError, ValueError, TypeError)):
        signatures._signature({**fine, **wrong})
