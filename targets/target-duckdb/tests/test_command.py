"""The command as Meltano starts it: endings, crashes, and a file that somebody else has open."""

import fcntl
import json
import os
import signal
import sys
import termios
import time
from pathlib import Path

import duckdb
import pytest
from duckdesk import Desk, lines, record, schema, state

from target_duckdb.refusals import not_opened, told

SHAPE = schema("A", Name={"type": ["string", "null"]})


def test_counts_are_metrics_and_state_is_the_last_word(desk: Desk) -> None:
    ended = desk.run(SHAPE, record("A", Id="1"), desk.csv("A", "Id\n2\n3\n", record_counts=[2]), state({"at": 1}))
    assert (ended.code, ended.states) == (0, [{"at": 1}])
    counts = [json.loads(line.split("METRIC: ")[1]) for line in ended.log.splitlines() if '"record_count"' in line]
    assert sum(count["value"] for count in counts) == 3
    assert {count["tags"]["stream"] for count in counts} == {"A"}


def test_bytes_are_counted_as_the_tap_handed_them_over(desk: Desk) -> None:
    umlaut = '{"type": "RECORD", "stream": "A", "record": {"Id": "1", "Name": "ü"}}'
    file, more = desk.csv("A", "Id\n2\n3\n"), desk.jsonl("A", '{"Id": "4"}')
    packed = sum(path.stat().st_size for path in desk.left())
    ended = desk.run(SHAPE, umlaut, file, more, state(1))
    points = [json.loads(line.split("METRIC: ")[1]) for line in ended.log.splitlines() if '"byte_count"' in line]
    assert (ended.code, {point["tags"]["stream"] for point in points}) == (0, {"A"})
    assert sum(point["value"] for point in points) == packed + len(umlaut.encode())


def test_a_failure_is_one_sentence_and_one_line_for_machines(desk: Desk) -> None:
    ended = desk.run(SHAPE, desk.csv("A", "Id,Name\n1,secret\n2\n"), state(1))
    assert (ended.code, ended.states) == (1, [])
    assert ended.failure == {
        "kind": "source_error",
        "origin": "source",
        "message": "A batch file of A is cut off, or is not what it says it is.",
        "hint": "Sync again: the tap fetches it once more.",
        "retryable": True,
        "remedy": None,
    }
    assert "Traceback" not in ended.log
    assert "secret" not in ended.log
    assert not list(desk.folder.glob("target-duckdb-*"))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"type": "RECORD", "stream": "A", "record": {"Id": "secr', "not JSON"),
        ("", "not JSON"),
        ("null", "not a Singer message"),
        ('{"secret": 1}', "without type"),
        ('{"type": "STATE", "secret": 1}', "without value"),
        ('{"type": "WHAT", "secret": 1}', "type that Singer does not know"),
    ],
)
def test_what_is_no_message_is_the_taps_fault_and_is_not_repeated(desk: Desk, line: str, words: str) -> None:
    ended = desk.run(SHAPE, line, state(1))
    assert (ended.code, ended.states) == (1, [])
    assert (ended.failure["kind"], ended.failure["origin"]) == ("source_error", "source")
    assert words in ended.failure["message"]
    assert "Traceback" not in ended.log
    assert "secr" not in ended.log


def test_a_kill_leaves_the_table_as_before_or_after_a_batch(desk: Desk) -> None:
    assert desk.run(SHAPE, *(record("A", Id=str(at), Name="0") for at in range(2000))).code == 0
    for round_ in range(1, 6):
        process = desk.start(batch_size_rows=2000)
        assert process.stdin
        said = [SHAPE, *(record("A", Id=str(at), Name=f"{round_}.{turn}") for turn in range(40) for at in range(2000))]
        process.stdin.write("\n".join(lines(said[:4001])) + "\n")
        process.stdin.flush()
        os.set_blocking(process.stdin.fileno(), False)
        until = time.monotonic() + 0.4 + 0.23 * round_
        text = memoryview(("\n".join(lines(said[4001:])) + "\n").encode())
        while time.monotonic() < until and text:
            try:
                text = text[os.write(process.stdin.fileno(), text[: 1 << 16]) :]
            except BlockingIOError:
                time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        counts = desk.sql('SELECT "Name", count(*) FROM crm."A" GROUP BY ALL')
        assert [count for _, count in counts] == [2000], counts


def test_a_file_that_another_process_holds_is_said_and_can_be_tried_again(desk: Desk) -> None:
    holder = desk.start()
    assert holder.stdin
    holder.stdin.write("\n".join(lines([SHAPE])) + "\n")
    holder.stdin.flush()
    until = time.monotonic() + 60
    while not desk.path.exists():
        assert time.monotonic() < until, "it opens its file"
        time.sleep(0.05)
    ended = desk.run(SHAPE, state(1), lock_timeout=0.5)
    assert (ended.code, ended.states) == (1, [])
    assert ended.failure["retryable"]
    assert f"({holder.pid}) has {desk.path} open" in ended.failure["message"]
    patient = desk.start(lock_timeout=60)
    holder.communicate()
    out, _ = patient.communicate("\n".join(lines([SHAPE, record("A", Id="1"), state(2)])) + "\n")
    assert (patient.returncode, out) == (0, "2\n")


def test_termination_ends_at_once_and_loads_no_more(desk: Desk) -> None:
    assert desk.run(SHAPE, record("A", Id="0"), state(0)).code == 0
    process = desk.start()
    assert process.stdin
    process.stdin.write("\n".join(lines([SHAPE, record("A", Id="1")])) + "\n")
    process.stdin.flush()
    until = time.monotonic() + 60
    while unread(process.stdin.fileno()):
        assert time.monotonic() < until, "it reads what it is given"
        time.sleep(0.01)
    process.terminate()
    process.communicate()
    assert process.returncode == 143
    assert desk.rows("A", "Id") == [("0",)]


def unread(pipe: int) -> int:
    """Bytes in a pipe that nobody has taken yet."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def test_a_file_that_is_none_of_duckdbs_is_left_alone(desk: Desk) -> None:
    desk.path.parent.mkdir()
    desk.path.write_bytes(b"something else " * 1000)
    ended = desk.run(SHAPE)
    assert "is no database that this version of DuckDB can open" in ended.failure["message"]
    assert desk.path.read_bytes().startswith(b"something else")


def test_a_folder_that_cannot_be_made_is_said(desk: Desk) -> None:
    desk.path.parent.write_text("a file")
    assert desk.run(SHAPE).failure["kind"] == "permission_missing"


@pytest.mark.parametrize(
    ("error", "words", "kind"),
    [
        (duckdb.IOException("IO Error: Could not write all bytes to file: No space left on device"), "no room on the disk", "destination_error"),
        (duckdb.OutOfMemoryException("x"), "ran out of memory", "destination_error"),
        (duckdb.ConversionException("Could not convert secret"), "does not fit its column", "schema_violation"),
        (duckdb.CatalogException("Table with name secret"), "refused to load crm.A (CatalogException)", "destination_error"),
    ],
)  # fmt: skip
def test_what_duckdb_refuses_is_told_without_its_words(error: duckdb.Error, words: str, kind: str) -> None:
    said = told(error, "crm.A")
    assert words in str(said)
    assert said.kind == kind
    assert said.remedy == ("full_refresh" if kind == "schema_violation" else None)
    assert "secret" not in str(said)


def test_a_file_without_rights_is_a_missing_permission() -> None:
    error = duckdb.IOException('IO Error: Cannot open file "/x": Permission denied')
    assert not_opened(error, Path("/x")).kind == "permission_missing"
