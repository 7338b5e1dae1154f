"""Records in, lines out: nothing lost, nothing claimed before it is on disk."""

import io
import json
import os
import subprocess
import sys
from decimal import Decimal

import pytest
import simplejson

from target_jsonl.errors import DestinationError, MisfitError, MissingKeyError
from target_jsonl.target import TargetJsonl, file_name


def schema(stream="users", **properties):
    fields = {"id": {"type": "integer"}, **properties}
    return {
        "type": "SCHEMA",
        "stream": stream,
        "key_properties": ["id"],
        "schema": {"type": "object", "properties": fields},
    }


def records(count, stream="users", start=1):
    return [{"type": "RECORD", "stream": stream, "record": {"id": at}} for at in range(start, start + count)]


def state(at):
    return {"type": "STATE", "value": {"bookmarks": {"users": {"at": at}}}}


@pytest.fixture
def folder(tmp_path):
    """Where the files go; not there yet."""
    return tmp_path / "deep" / "out"


@pytest.fixture
def load(folder, capsys):
    """Load messages in this process; answers the states that were said."""

    def run(*messages, **config):
        text = "".join(f"{simplejson.dumps(message)}\n" for message in messages)
        TargetJsonl(config={"destination_path": str(folder), **config}).listen(io.StringIO(text))
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


@pytest.fixture
def lines(folder):
    """The lines of a stream's file, parsed."""
    return lambda name="users.jsonl": [json.loads(line) for line in (folder / name).read_text("utf-8").splitlines()]


def ids(found):
    return [record["id"] for record in found]


def test_every_stream_has_a_file_in_a_folder_that_is_made(load, lines, folder):
    load(schema(), *records(3), schema("teams"), *records(2, "teams"))
    assert ids(lines()) == [1, 2, 3]
    assert ids(lines("teams.jsonl")) == [1, 2]
    assert sorted(path.name for path in folder.iterdir()) == ["teams.jsonl", "users.jsonl"]


def test_a_second_run_appends(load, lines):
    load(schema(), *records(2))
    load(schema(), *records(2, start=3))
    assert ids(lines()) == [1, 2, 3, 4]


def test_the_state_that_came_last_is_said_after_its_records_were_synced(load, folder, monkeypatch, capsys):
    seen, fsync = [], os.fsync

    def synced(descriptor):
        said = capsys.readouterr().out
        seen.append((said, (folder / "users.jsonl").read_text("utf-8").count("\n")))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", synced)
    assert load(schema(), *records(5), state(5))[-1] == state(5)["value"]
    assert seen == [("", 5)]


def test_where_the_disk_refuses_no_state_is_said(load, monkeypatch, capsys):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DestinationError, match=r"users\.jsonl cannot be written: No space left on device\."):
        load(schema(), *records(1), state(1))
    assert "bookmarks" not in capsys.readouterr().out


def test_a_record_that_does_not_fit_its_schema_ends_it_before_any_state(load, capsys):
    bad = {"type": "RECORD", "stream": "users", "record": {"id": "not a number"}}
    with pytest.raises(MisfitError, match="does not fit its schema: id") as raised:
        load(schema(), *records(1), bad, state(2))
    assert "not a number" not in str(raised.value)
    assert "bookmarks" not in capsys.readouterr().out


def test_a_record_without_its_key_ends_it_before_any_state(load, capsys):
    with pytest.raises(MissingKeyError, match="has no id, which is its key"):
        load(schema(), {"type": "RECORD", "stream": "users", "record": {"name": "x"}}, state(2))
    assert "bookmarks" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"type": "RECORD", "stream": "users", "record": {"Id": "secr', "not JSON"),
        ('{"type": "RECORD", "stream": "users", "record": {"Id": "secret", "Name": NaN}}', "not JSON"),
        ("", "not JSON"),
        ("null", "not a Singer message"),
        ('{"secret": 1}', "without type"),
        ('{"type": "STATE", "secret": 1}', "without value"),
        ('{"type": "WHAT", "secret": 1}', "type that Singer does not know"),
    ],
)
def test_what_is_no_message_is_the_taps_fault_and_is_not_repeated(tmp_path, line, words):
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"destination_path": str(tmp_path / "out")}))
    messages = "".join(f"{said}\n" for said in (json.dumps(schema()), line, json.dumps(state(1))))
    command = (sys.executable, "-m", "target_jsonl.target", "--config", str(config))
    done = subprocess.run(command, input=messages, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    told = json.loads(done.stderr.split("FAILURE: ")[1].splitlines()[0])
    assert (told["kind"], told["origin"], words in told["message"]) == ("source_error", "source", True)
    assert "Traceback" not in done.stderr
    assert "secr" not in done.stderr


def test_a_schema_that_changes_on_the_way_loses_nothing(load, lines):
    wider = schema(name={"type": "string"})
    named = {"type": "RECORD", "stream": "users", "record": {"id": 3, "name": "Ada"}}
    assert load(schema(), *records(2), wider, named, state(3)) == [state(3)["value"]]
    assert lines() == [{"id": 1}, {"id": 2}, {"id": 3, "name": "Ada"}]


def test_many_records_come_in_batches_in_their_order(load, lines, monkeypatch):
    monkeypatch.setattr("target_jsonl.target.JsonlSink.max_size", 10)
    load(schema(), *records(25))
    assert ids(lines()) == list(range(1, 26))


@pytest.mark.parametrize(
    "value", ["2024-01-01T12:34:56.123456789Z", "2024-01-01", "12024-01-01T00:00:00Z", "0044-03-15 BC", "infinity"]
)
def test_times_are_written_as_they_came(load, lines, value):
    came = {"id": 1, "at": value}
    load(schema(at={"type": "string", "format": "date-time"}), {"type": "RECORD", "stream": "users", "record": came})
    assert lines() == [came]


def test_values_are_written_as_they_came(load, folder):
    typed = schema(
        price={"type": "number"},
        at={"type": "string", "format": "date-time"},
        day={"type": "string", "format": "date"},
        name={"type": ["string", "null"]},
    )
    record = {"id": 1, "price": Decimal("12345678901234567.89"), "day": "2024-02-29", "name": "Zoë\n𝕏 \u2028"}
    load(typed, {"type": "RECORD", "stream": "users", "record": {**record, "at": "2024-01-01T00:00:00+00:00"}})
    [line] = (folder / "users.jsonl").read_text("utf-8").split("\n")[:-1]
    found = simplejson.loads(line, use_decimal=True)
    assert {name: found[name] for name in record} == record
    assert found["at"] == "2024-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    ("stream", "name"),
    [
        pytest.param("users", "users.jsonl", id="as it is"),
        pytest.param("public-users", "public-users.jsonl", id="dash"),
        pytest.param("../etc/passwd", "%2E.%2Fetc%2Fpasswd.jsonl", id="path"),
        pytest.param(".hidden", "%2Ehidden.jsonl", id="hidden"),
        pytest.param("Größe 1", "Gr%C3%B6%C3%9Fe%201.jsonl", id="letters"),
    ],
)
def test_a_streams_name_never_leaves_the_folder(stream, name):
    assert file_name(stream) == name


def test_a_file_where_the_folder_should_be_is_told(load, folder):
    folder.parent.mkdir(parents=True)
    folder.write_text("in the way")
    with pytest.raises(DestinationError, match=r"users\.jsonl cannot be written: File exists\."):
        load(schema(), *records(1))


def test_as_a_program_it_counts_what_it_wrote(tmp_path):
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"destination_path": str(tmp_path / "out")}))
    lines = [json.dumps(message) for message in records(6)]
    lines.append('{"type": "RECORD", "stream": "users", "record": {"id": 7, "name": "ü"}}')
    messages = "".join(f"{line}\n" for line in (json.dumps(schema()), *lines, json.dumps(state(7))))
    done = subprocess.run(
        (sys.executable, "-m", "target_jsonl.target", "--config", str(config)),
        input=messages,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == state(7)["value"]
    counted = [json.loads(line.partition("METRIC: ")[2]) for line in done.stderr.splitlines() if "METRIC: " in line]
    totals = {
        name: sum(point["value"] for point in counted if point["metric"] == name and point["tags"]["stream"] == "users")
        for name in ("record_count", "byte_count")
    }
    assert totals == {"record_count": 7, "byte_count": len("".join(lines).encode())}


def test_where_the_disk_is_full_no_half_line_stays_and_the_failure_is_a_sentence(folder, tmp_path):
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"destination_path": str(folder)}))
    folder.mkdir(parents=True)
    file = folder / "users.jsonl"
    file.write_text('{"id": 0}\n')
    lines = "".join(json.dumps(one) + "\n" for one in [schema(), *records(5_000), state(1)])
    limited = "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
    limited += " resource.setrlimit(resource.RLIMIT_FSIZE, (9_005, 9_005));"
    limited += " from target_jsonl.target import TargetJsonl; TargetJsonl.cli()"
    command = [sys.executable, "-c", limited, "--config", str(config)]
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}  # a file, too
    done = subprocess.run(command, input=lines, env=unmeasured, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    told = json.loads(done.stderr.split("FAILURE: ")[1].splitlines()[0])
    assert (told["kind"], told["origin"]) == ("destination_error", "destination")
    assert "users.jsonl cannot be written: File too large" in told["message"]
    assert file.read_text() == '{"id": 0}\n'
    assert not done.stdout.strip(), "no state is told"
