import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domains.oauth.errors import ReauthNeededError
from orchestrator.domains.runs import rules
from orchestrator.domains.runs.rules import Outcome
from orchestrator.domains.runs.types import FailureKind, Origin, RunStatus, StreamCount
from orchestrator.kernel.errors import ActionNeededError, InvalidConfigError, OrchestratorError, TemporaryError

ALL = StreamCount(stream="users", read=10, written=10)
LESS = StreamCount(stream="users", read=10, written=7)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        pytest.param(Outcome(exit_code=0, states=1, counts=(ALL,)), RunStatus.SUCCEEDED, id="everything arrived"),
        pytest.param(Outcome(exit_code=0, states=0, counts=()), RunStatus.SUCCEEDED, id="nothing to read"),
        pytest.param(Outcome(exit_code=0, states=1, counts=(LESS,)), RunStatus.PARTIAL, id="exit 0 hides lost records"),
        pytest.param(Outcome(exit_code=0, states=0, counts=(ALL,)), RunStatus.PARTIAL, id="exit 0 hides lost state"),
        pytest.param(
            Outcome(exit_code=0, states=1, counted=False, counts=(LESS,)),
            RunStatus.SUCCEEDED,
            id="a side that can't count",
        ),
        pytest.param(Outcome(exit_code=1, states=1, counts=(ALL,)), RunStatus.FAILED, id="exit 1"),
        pytest.param(Outcome(exit_code=None, states=1, counts=(ALL,)), RunStatus.FAILED, id="ended from outside"),
        pytest.param(Outcome(exit_code=1, cancelled=True), RunStatus.CANCELLED, id="cancelled"),
        pytest.param(Outcome(exit_code=1, timed_out=True), RunStatus.TIMED_OUT, id="took too long"),
        pytest.param(Outcome(exit_code=1, cancelled=True, stalled=True), RunStatus.FAILED, id="did nothing for long"),
    ],
)
def test_a_run_is_judged_by_more_than_its_exit_code(outcome, status):
    found, failure = rules.judge(outcome, timeout=HOUR, stall=HOUR)
    assert found is status
    assert (failure is None) == (status in {RunStatus.SUCCEEDED, RunStatus.CANCELLED})


def test_a_partial_run_says_what_is_missing():
    _, failure = rules.judge(Outcome(exit_code=0, states=1, counts=(LESS,)), timeout=HOUR, stall=HOUR)
    assert failure is not None
    assert "users: 10 read, 7 written" in failure.message


@pytest.mark.parametrize(
    ("line", "kind", "retryable"),
    [
        (
            "Salesforce refused the sign-in: invalid_grant: expired access/refresh token",
            FailureKind.AUTH_EXPIRED,
            False,
        ),
        ("401 Client Error: Unauthorized", FailureKind.AUTH_EXPIRED, False),
        ("REQUEST_LIMIT_EXCEEDED: TotalRequests Limit exceeded.", FailureKind.QUOTA_EXCEEDED, True),
        ("429 Too Many Requests", FailureKind.RATE_LIMITED, True),
        ("permission denied for schema crm", FailureKind.PERMISSION_MISSING, False),
        ("OSError: [Errno 28] No space left on device", FailureKind.INTERNAL, True),
        ("The extractor was killed (SIGKILL) while it worked.", FailureKind.SOURCE_ERROR, True),
        ("something else broke", FailureKind.SOURCE_ERROR, True),
    ],
)
def test_an_error_line_tells_the_kind_of_failure(line, kind, retryable):
    failure = rules.explain(Outcome(exit_code=1, side=Origin.SOURCE, complaints=("before", line)))
    assert (failure.kind, failure.retryable, failure.message) == (kind, retryable, line)
    assert failure.hint


def test_a_plugin_of_ours_says_itself_what_failed():
    told = (
        'FAILURE: {"kind":"quota_exceeded","origin":"source","message":"The daily limit is used up.",'
        '"hint":"Sync tomorrow.","retryable":true}'
    )
    failure = rules.explain(Outcome(exit_code=1, complaints=("403 Forbidden", told, "later noise")))
    assert (failure.kind, failure.origin, failure.retryable) == (FailureKind.QUOTA_EXCEEDED, Origin.SOURCE, True)
    assert (failure.message, failure.hint) == ("The daily limit is used up.", "Sync tomorrow.")


@pytest.mark.parametrize(
    ("kind", "origin", "command"),
    [
        pytest.param("schema_violation", "destination", "Discovery: orchestrator discover CRM.", id="retyped"),
        pytest.param("auth_expired", "source", "Its settings: orchestrator integrations edit CRM.", id="signed out"),
        pytest.param("config_error", "source", "Its settings: orchestrator integrations edit CRM.", id="misconfigured"),
        pytest.param(
            "internal",
            "platform",
            "Where runs have their files: ORCHESTRATOR_RUNS__DIRECTORY.",
            id="no space for files",
        ),
        pytest.param("config_error", "destination", "", id="a destination has no command for that"),
        pytest.param("destination_error", "destination", "", id="nothing to type"),
    ],
)
def test_what_a_plugin_asks_for_is_said_as_a_command(kind, origin, command):
    told = json.dumps({"kind": kind, "origin": origin, "message": "No.", "hint": "Do this."})
    failure = rules.explain(Outcome(exit_code=1, complaints=(f"FAILURE: {told}",)))
    assert rules.addressed(failure, run_id="r", integration="CRM").hint == f"Do this. {command}".strip()


@pytest.mark.parametrize(
    ("remedy", "command"),
    [
        pytest.param("full_refresh", " Full refresh: orchestrator sync CRM --full-refresh.", id="known"),
        pytest.param(None, "", id="none"),
        pytest.param("orchestrator integrations remove CRM", "", id="a command of its own"),
        pytest.param(["full_refresh"], "", id="no text"),
        pytest.param({}, "", id="a document"),
    ],
)
def test_a_remedy_that_a_plugin_names_is_said_as_a_command_of_ours(remedy, command):
    hint = "Nothing but a full refresh helps."
    facts = {"kind": "destination_error", "origin": "destination", "message": "Gone.", "hint": hint, "remedy": remedy}
    failure = rules.explain(Outcome(exit_code=1, complaints=(f"FAILURE: {json.dumps(facts)}",)))
    assert rules.addressed(failure, run_id="r", integration="CRM").hint == hint + command


@pytest.mark.parametrize(
    "wrong", ["FAILURE: ", "FAILURE: []", 'FAILURE: {"kind":"made_up","origin":"source","message":"x"}']
)
def test_an_announcement_nobody_can_read_is_an_ordinary_line(wrong):
    assert rules.explain(Outcome(exit_code=1, complaints=(wrong,))).message == wrong


def test_a_warehouse_that_refuses_the_login_does_not_ask_to_sign_in_at_the_source():
    line = 'connection failed: FATAL: password authentication failed for user "loader"'
    failure = rules.explain(Outcome(exit_code=1, side=Origin.DESTINATION, complaints=(line,)))
    assert failure.kind is FailureKind.CONFIG_ERROR
    assert "WAREHOUSE_URL" in failure.hint


def test_a_disk_quota_is_no_api_quota():
    line = "OSError: [Errno 122] Disk quota exceeded"
    assert rules.explain(Outcome(exit_code=1, side=Origin.SOURCE, complaints=(line,))).kind is FailureKind.INTERNAL


def test_a_hint_names_the_run_and_the_integration():
    failure = rules.explain(Outcome(exit_code=1, side=Origin.SOURCE, complaints=("401 Unauthorized",)))
    assert "integrations edit 'Our code'" in rules.addressed(failure, run_id="run_1", integration="Our code").hint
    failure = rules.explain(Outcome(exit_code=1, complaints=("it broke",)))
    assert "runs logs run_1" in rules.addressed(failure, run_id="run_1", integration="x").hint


def test_without_any_line_the_exit_status_is_told():
    failure = rules.explain(Outcome(exit_code=3))
    assert (failure.kind, failure.origin) == (FailureKind.INTERNAL, Origin.PLATFORM)
    assert "3" in failure.message


@pytest.mark.parametrize(
    ("error", "kind", "retryable"),
    [
        (InvalidConfigError("x"), FailureKind.CONFIG_ERROR, False),
        (ReauthNeededError("login.example.com", "invalid_grant"), FailureKind.AUTH_EXPIRED, False),
        (ActionNeededError("no master key"), FailureKind.CONFIG_ERROR, False),
        (TemporaryError("x"), FailureKind.INTERNAL, True),
        (OrchestratorError("x"), FailureKind.INTERNAL, False),
    ],
)
def test_a_foreseen_error_becomes_a_failure_of_its_kind(error, kind, retryable):
    failure = rules.refused(error)
    assert (failure.kind, failure.retryable) == (kind, retryable)


@pytest.mark.parametrize(
    ("status", "failure", "works"),
    [
        (RunStatus.SUCCEEDED, None, True),
        (RunStatus.PARTIAL, rules.worker_lost(), True),
        (RunStatus.CANCELLED, None, None),
        (RunStatus.FAILED, rules.worker_lost(), None),
        (RunStatus.FAILED, rules.refused(ReauthNeededError("login.example.com", "invalid_grant")), False),
        (RunStatus.FAILED, rules.refused(ActionNeededError("no master key")), None),
    ],
)
def test_a_run_tells_whether_signing_in_works(status, failure, works):
    assert rules.sign_in_works(status, failure) is works


BOOKMARKS = st.dictionaries(
    st.text(min_size=1, max_size=8),
    st.dictionaries(st.sampled_from(["completed", "partial"]), st.dictionaries(st.text(), st.integers()), min_size=1),
)


@given(BOOKMARKS)
def test_bookmarks_survive_the_way_into_meltanos_form_and_back(bookmarks):
    assert rules.bookmarks_of(rules.state_of(bookmarks)) == bookmarks


def test_what_a_tap_keeps_outside_of_streams_is_kept_too():
    state = {"completed": {"singer_state": {"bookmarks": {"users": {"at": 1}}, "currently_syncing": "users"}}}
    found = rules.bookmarks_of(state)
    assert found == {
        "users": {"completed": {"at": 1}},
        rules.WHOLE_TAP: {"completed": {"currently_syncing": "users"}},
    }
    assert rules.state_of(found) == state


@pytest.mark.parametrize("empty", [None, {}, {"completed": {}}, {"completed": None, "partial": {"singer_state": None}}])
def test_an_empty_state_has_no_bookmarks(empty):
    assert rules.bookmarks_of(empty) == {}
    assert rules.state_of({}) is None


def test_only_what_moved_is_written_and_silence_is_no_reset():
    before = {"a": {"completed": {"at": 1}}, "b": {"completed": {"at": 1}}}
    after = {"a": {"completed": {"at": 2}}, "c": {"completed": {}}}
    assert rules.changed(before, after) == {"a": {"completed": {"at": 2}}, "c": {"completed": {}}}


@pytest.mark.parametrize(
    ("bookmark", "shown"),
    [
        (None, "from the start"),
        ({"completed": {"replication_key": "at", "replication_key_value": "2024-01-01"}}, "2024-01-01"),
        ({"completed": {"replication_key_value": "old"}, "partial": {"replication_key_value": "new"}}, "new"),
        ({"completed": {}}, "complete"),
        ({"completed": {"page": 3, "cursor": "x"}}, "cursor=x, page=3"),
        ({"completed": {"cursor": "x" * 200}}, "cursor=" + "x" * 73 + "…"),
    ],
)
def test_a_position_is_told_in_words(bookmark, shown):
    assert rules.position(bookmark) == shown


def test_counts_of_both_sides_are_put_together():
    found = rules.merged({"a": 3}, {"a": 2, "b": 1}, {"a": 1}, seconds={"a": 0.5})
    assert found == (
        StreamCount(stream="a", read=3, written=2, deleted=1, seconds=0.5),
        StreamCount(stream="b", read=0, written=1),
    )


@pytest.mark.parametrize(
    ("read", "written", "complete", "rejected"),
    [
        pytest.param(10, 10, True, 0, id="all-arrived"),
        pytest.param(10, 7, True, 3, id="the-loader-left-some-out"),
        pytest.param(10, 7, False, None, id="still-on-their-way-or-cut-short"),
        pytest.param(7, 10, True, None, id="sides-that-count-otherwise"),
    ],
)
def test_records_are_rejected_where_the_loader_came_to_its_end_without_them(read, written, complete, rejected):
    [found] = rules.merged({"a": read}, {"a": written}, complete=complete)
    assert found.rejected == rejected


@pytest.mark.parametrize(
    ("changes", "complete"),
    [
        pytest.param({}, True, id="ended"),
        pytest.param({"exit_code": 1}, False, id="failed"),
        pytest.param({"exit_code": None, "cancelled": True}, False, id="ended-from-outside"),
        pytest.param({"counted": False}, False, id="plugins-that-do-not-count"),
    ],
)
def test_counts_are_complete_where_both_plugins_count_and_came_to_their_end(changes, complete):
    assert Outcome(**{"exit_code": 0, **changes}).complete is complete
