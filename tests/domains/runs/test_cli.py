import json
import re

import pytest

from orchestrator.domains.runs import service
from orchestrator.domains.runs.cli import watching
from orchestrator.domains.runs.types import Progress, RunStatus, StreamCount
from orchestrator.drivers.meltano.output import BlockCompleted, Source
from orchestrator.drivers.meltano.process import Stopped
from orchestrator.kernel.stdio import ReaderLeftError
from tests.fakes.meltano import NOW, counted, said, singer_state

MARCH = {"replication_key": "at", "replication_key_value": "2024-03-01"}


@pytest.fixture
def all_well(meltano):
    meltano.outputs = [
        said("reading [users]"),
        counted(Source.TAP, "users", 1_000),
        counted(Source.TARGET, "users", 1_000),
    ]
    meltano.states = [singer_state(users=MARCH)]
    return meltano


def test_a_sync_shows_what_moved_on_stdout_and_the_rest_on_stderr(command, ready, all_well):
    answer = command("sync", "Our code")
    assert answer.code == 0
    assert "users" in answer.out
    assert "1,000" in answer.out
    assert "● succeeded" in answer.err
    assert "syncing" in answer.err


def test_a_log_gets_a_line_when_something_came_and_else_twice_a_minute(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(watching, "monotonic", lambda: now[0])
    lines = watching._Lines()
    lines(Progress(phase="syncing"))
    users = Progress(phase="syncing", counts=(StreamCount(stream="users", read=5),))
    for now[0], seen in ((2.0, None), (4.0, users), (6.0, None), (33.0, None), (34.0, None), (36.0, None)):
        if seen is not None:
            lines(seen)
        lines.tick()
    assert [line[:9] for line in capsys.readouterr().err.splitlines()] == ["[  0.0 s]", "[  4.0 s]", "[ 34.0 s]"]


def test_a_failed_run_is_shown_with_its_kind_of_run_and_its_kind_of_failure(command, ready, meltano):
    meltano.code, meltano.error = 1, "401 Unauthorized"
    run = command("sync", "Our code", "--json").json["id"]
    facts = dict(
        re.split(r"  +", line, maxsplit=1) for line in command("runs", "show", run).out.splitlines() if "  " in line
    )
    assert facts["kind"].strip() == "sync"
    assert facts["status"].strip() == "× failed (auth_expired)"


@pytest.mark.parametrize("how", [["--json"], []])
@pytest.mark.parametrize(("ends", "code"), [(0, 0), (1, 75)])
def test_a_sync_whose_reader_has_left_exits_as_it_ended(command, ready, all_well, monkeypatch, ends, code, how):
    def gone(*_, **__):
        raise ReaderLeftError

    monkeypatch.setattr("orchestrator.kernel.console.show_json", gone)
    monkeypatch.setattr("orchestrator.kernel.console.show_table", gone)
    all_well.code = ends
    assert command("sync", "Our code", *how).code == code


def test_a_quiet_sync_says_nothing(command, ready, all_well):
    assert command("sync", "Our code", "--quiet") == command("sync", "Our code", "-q")
    answer = command("sync", "Our code", "--quiet")
    assert (answer.code, answer.out, answer.err) == (0, "", "")


def test_a_sync_as_json_is_one_document(command, ready, all_well):
    document = command("sync", "Our code", "--json").json
    assert (document["status"], document["streams"][0]["written"]) == ("succeeded", 1_000)


@pytest.mark.parametrize(
    ("changes", "code", "said_so"),
    [
        pytest.param(
            {"outputs": [counted(Source.TAP, "users", 3), counted(Source.TARGET, "users", 2)]},
            9,
            "3 read",
            id="partial",
        ),
        pytest.param({"code": 1, "error": "it broke"}, 1, "it broke", id="failed"),
        pytest.param({"code": 1, "error": "401 Unauthorized"}, 8, "401", id="sign in again"),
        pytest.param({"code": 1, "error": "429 Too Many Requests"}, 75, "429", id="try later"),
        pytest.param({"stopped": Stopped.TIMED_OUT}, 124, "longer than", id="timed out"),
        pytest.param({"stopped": Stopped.CANCELLED}, 130, "cancelled", id="cancelled"),
    ],
)
def test_the_exit_code_tells_how_it_ended(command, ready, all_well, *, changes, code, said_so):
    for name, value in changes.items():
        setattr(all_well, name, value)
    if "error" in changes:
        all_well.block = BlockCompleted(at=NOW, success=False, seconds=1, extractor_code=1)
    answer = command("sync", "Our code")
    assert answer.code == code
    assert said_so in answer.err
    assert "Traceback" not in answer.err


def test_a_second_sync_names_the_running_one(command, drivers, ready):
    run = service.request(drivers, ready)
    answer = command("sync", "Our code")
    assert answer.code == 5
    assert run.id in answer.err


def test_a_wrong_duration_or_stream_queues_nothing(command, drivers, ready):
    assert command("sync", "Our code", "--timeout", "soon").code == 2
    answer = command("sync", "Our code", "--stream", "user")
    assert answer.code == 3
    assert "users" in answer.err
    assert service.listing(drivers, ready.org_id) == []


def test_pages_of_runs_follow_one_another_by_status_too(command, ready, all_well):
    done = [command("sync", "Our code", "--json").json["id"] for _ in range(2)]
    all_well.code = 1
    failed = [command("sync", "Our code", "--json").json["id"] for _ in range(3)]

    def page(*options):
        return [one["id"] for one in command("runs", "list", "--limit", "2", "--json", *options).json]

    assert page() == [failed[2], failed[1]]
    assert page("--before", failed[1]) == [failed[0], done[1]]
    assert page("--before", done[1], "-i", "Our code") == [done[0]]
    both = ("--status", "failed", "--status", "succeeded")
    assert page(*both, "--before", failed[1]) == [failed[0], done[1]]
    assert page("--status", "succeeded", "-i", "Our code") == [done[1], done[0]]
    assert page("--status", "timed_out") == []


def test_runs_are_listed_and_shown(command, ready, all_well):
    assert "Nothing ran yet" in command("runs", "list").err
    run = command("sync", "Our code", "--json").json
    listed = command("runs", "list").out
    assert run["id"] in listed
    assert "● succeeded" in listed
    assert command("runs", "list", "--json", "--status", "failed").json == []
    assert command("runs", "list", "--json", "--integration", "Our code").json[0]["id"] == run["id"]
    shown = command("runs", "show", run["id"][:25])
    assert "1,000" in shown.out
    assert re.search(r"preparing \d+\.\d s, starting \d+\.\d s, syncing \d+\.\d s", shown.out)
    document = command("runs", "show", run["id"], "--json").json
    assert document["id"] == run["id"]
    assert list(document["phases"]) == ["preparing", "starting", "syncing"]


def test_bytes_and_rejected_records_are_shown_where_they_are_known(command, ready, all_well):
    all_well.outputs += [counted(Source.TARGET, "users", 1_234_567, "byte_count"), counted(Source.TAP, "teams", 5)]
    run = command("sync", "Our code", "--json").json
    rows = [re.split(r"  +", line.strip()) for line in command("runs", "show", run["id"]).out.splitlines()]
    [head] = [row for row in rows if row[0] == "stream"]
    told = {row[0]: dict(zip(head, row, strict=True)) for row in rows[rows.index(head) + 1 :]}
    assert (told["users"]["rejected"], told["users"]["bytes"]) == ("0", "1.2 MB")
    assert (told["teams"]["rejected"], told["teams"]["bytes"]) == ("5", "–")
    document = {one["stream"]: one for one in command("runs", "show", run["id"], "--json").json["streams"]}
    assert (document["users"]["rejected"], document["users"]["bytes"]) == (0, 1_234_567)
    assert (document["teams"]["rejected"], document["teams"]["bytes"]) == (5, None)


def test_how_fast_a_stream_was_read_is_known_where_it_was_counted_more_than_once():
    assert StreamCount(stream="a", read=300, seconds=1.5).rate == 200
    assert StreamCount(stream="a", read=300).rate is None


def test_a_failed_run_says_why_and_what_to_do(command, ready, all_well):
    all_well.code, all_well.error = 1, "401 Unauthorized"
    command("sync", "Our code")
    run = command("runs", "list", "--json").json[0]
    shown = command("runs", "show", run["id"]).out
    assert "401 Unauthorized" in shown
    assert "what to do" in shown


def test_logs_are_shown_as_they_were_said_and_go_on_from_a_cursor(command, ready, all_well):
    run = command("sync", "Our code", "--json").json
    lines = command("runs", "logs", run["id"]).out.splitlines()
    assert lines[-1].endswith("reading [users]")
    documents = [json.loads(line) for line in command("runs", "logs", run["id"], "--json").out.splitlines()]
    assert [one["message"] for one in documents] == ["Syncing teams, users into our_code.", "reading [users]"]
    rest = command("runs", "logs", run["id"], "--after", str(documents[0]["cursor"])).out.splitlines()
    assert rest == lines[-1:]
    assert command("runs", "logs", run["id"], "--tail", "1").out.splitlines() == lines[-1:]


def test_following_ends_with_the_run(command, ready, all_well):
    run = command("sync", "Our code", "--json").json
    assert command("runs", "logs", run["id"], "--follow").code == 0


def test_a_queued_run_can_be_cancelled(command, drivers, ready):
    run = service.request(drivers, ready)
    assert "cancelled" in command("runs", "cancel", run.id).err
    assert service.find(drivers, ready.org_id, run.id).status is RunStatus.CANCELLED
    again = command("runs", "cancel", run.id)
    assert (again.code, "over already" in again.err) == (5, True)


def test_state_is_shown_and_its_history(command, ready, all_well):
    assert "from the start" in command("state", "Our code").err
    command("sync", "Our code", "--quiet")
    assert "2024-03-01" in command("state", "Our code").out
    [entry] = command("state", "Our code", "history", "--json").json
    assert (entry["stream"], entry["position"], entry["reason"]) == ("users", "2024-03-01", "run")
    assert command("state", "Our code", "show", "--stream", "teams", "--json").json == []


def test_a_rollback_asks_first(command, ready, all_well, monkeypatch):
    command("sync", "Our code", "--quiet")
    [entry] = command("state", "Our code", "history", "--json").json
    all_well.states = [singer_state(users={**MARCH, "replication_key_value": "2024-04-01"})]
    command("sync", "Our code", "--quiet")
    unasked = command("state", "Our code", "rollback", str(entry["id"]))
    assert (unasked.code, "needs a yes" in unasked.err) == (2, True)
    monkeypatch.setattr("orchestrator.kernel.console.agreed", lambda *_, **__: False)
    answer = command("state", "Our code", "rollback", str(entry["id"]))
    assert "2024-03-01" in answer.out
    assert "1,000" in answer.out
    assert command("state", "Our code", "--json").json[0]["position"] == "2024-04-01"
    assert command("state", "Our code", "rollback", str(entry["id"]), "--json").json["applied"] is False
    assert command("state", "Our code", "rollback", str(entry["id"]), "--yes").code == 0
    assert command("state", "Our code", "--json").json[0]["position"] == "2024-03-01"


def test_a_reset_starts_over(command, ready, all_well):
    command("sync", "Our code", "--quiet")
    assert command("state", "Our code", "reset", "--yes", "--json").json["streams"][0]["to"] == "from the start"
    assert "from the start" in command("state", "Our code").out
    assert "Nothing would change" in command("state", "Our code", "reset", "--yes").err


def test_a_rollback_needs_an_entry(command, ready):
    answer = command("state", "Our code", "rollback")
    assert answer.code == 2
    assert "history" in answer.err
    assert command("state", "Our code", "rollback", "999").code == 3


def test_names_and_lines_of_plugins_are_shown_as_they_are_written(command, ready, meltano):
    meltano.outputs = [
        said("reading \x1b]0;X\x07 and [/b]"),
        counted(Source.TAP, "evil[/b]x", 1),
        counted(Source.TARGET, "evil[/b]x", 1),
    ]
    answer = command("sync", "Our code")
    assert "evil[/b]x" in answer.out
    run = command("runs", "list", "--json").json[0]["id"]
    said_so = command("runs", "logs", run).out
    assert "reading ]0;X and [/b]" in said_so
    as_json = command("runs", "logs", run, "--json").out
    assert any("\x1b" in json.loads(line)["message"] for line in as_json.splitlines())
    assert "\x1b" not in said_so + as_json


def test_a_message_of_several_lines_cannot_pass_for_several_messages(command, ready, meltano):
    meltano.outputs = [said("first\n09:00:00 info     orchestrator forged"), counted(Source.TAP, "users", 1)]
    command("sync", "Our code")
    run = command("runs", "list", "--json").json[0]["id"]

    assert "first\n    09:00:00 info     orchestrator forged\n" in command("runs", "logs", run).out


def test_an_ended_run_is_done_again_as_a_new_one_with_the_same_wishes(command, ready, all_well):
    first = command("sync", "Our code", "--stream", "users", "--full-refresh", "--timeout", "7m", "--json").json
    answer = command("runs", "retry", first["id"], "--json")
    assert answer.code == 0
    assert (answer.json["retry_of"], answer.json["full_refresh"]) == (first["id"], True)
    assert "Syncing users into our_code." in command("runs", "logs", answer.json["id"]).out
    assert first["id"] in command("runs", "show", answer.json["id"]).out


def test_a_retry_may_be_left_to_a_worker(command, drivers, ready, all_well):
    first = command("sync", "Our code", "--stream", "users", "--timeout", "7m", "--json").json
    document = command("runs", "retry", first["id"], "--detach", "--json").json
    again = service.find(drivers, ready.org_id, document["id"])
    assert (again.retry_of, again.detached, again.streams) == (first["id"], True, ("users",))
    assert again.timeout.total_seconds() == 7 * 60


def test_a_run_that_is_not_over_is_not_done_again(command, drivers, ready):
    run = service.request(drivers, ready)
    answer = command("runs", "retry", run.id)
    assert answer.code == 5
    assert "runs cancel" in answer.err


def test_a_run_explains_itself(command, ready, all_well):
    all_well.code, all_well.error = 1, "REQUEST_LIMIT_EXCEEDED: TotalRequests Limit exceeded."
    all_well.block = BlockCompleted(at=NOW, success=False, seconds=1, extractor_code=1)
    command("sync", "Our code", "--quiet")
    run = command("runs", "list", "--json").json[0]["id"]
    why = command("runs", "explain", run, "--json").json
    assert (why["who"], why["said"]) == ("nobody", all_well.error)
    assert "24 hours" in why["cause"]
    assert "nobody: it passes by itself" in command("runs", "explain", run).out


def test_a_run_that_went_well_has_little_to_explain(command, ready, all_well):
    run = command("sync", "Our code", "--json").json["id"]
    answer = command("runs", "explain", run)
    assert "Everything arrived." in answer.out
    assert "who can help" not in answer.out
