"""Several loaders, some of them killed: a file holds whole lines, and nobody cuts off what another has written."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

from target_jsonl.appending import append
from target_jsonl.target import TargetJsonl

BATCH = [f'{{"id": {at}}}\n' for at in range(1, 4)]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "users.jsonl"


@contextmanager
def loader_within_a_batch(file):
    """Another loader that has written a line and a half; when its stdin ends, its batch fails."""
    program = f"""
import sys
from pathlib import Path
from target_jsonl.appending import append

def lines():
    yield '{{"id": "whole"}}\\n'
    yield '{{"id": "' + 100_000 * "x"
    print("within", flush=True)
    sys.stdin.read()
    raise OSError(28, "No space left on device")

append(Path({str(file)!r}), lines())
"""
    words = [sys.executable, "-c", program]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(words, text=True, **pipes) as loader:
        loader.stdout.readline()
        yield loader


def test_a_batch_that_fails_takes_nothing_of_another_loader_with_it(file):
    with loader_within_a_batch(file) as other:
        ours = threading.Thread(target=append, args=(file, BATCH))
        ours.start()
        ours.join(0.3)
        assert ours.is_alive(), "it waits for the batch that is being written"
        other.stdin.close()
        other.wait(60)
        ours.join(60)
    assert file.read_text() == "".join(BATCH)


def test_of_a_loader_that_was_killed_whole_lines_stay_and_the_half_one_is_cut_off(file, caplog):
    file.write_text('{"id": 0}\n')
    with loader_within_a_batch(file) as other:
        other.send_signal(signal.SIGKILL)
        other.wait(60)
    assert file.stat().st_size > 50_000, "it has left a part of a line"
    append(file, BATCH)
    assert [json.loads(line)["id"] for line in file.read_text().splitlines()] == [0, "whole", 1, 2, 3]
    assert "users.jsonl ended within a line" in caplog.text


@pytest.mark.parametrize(
    ("before", "kept"),
    [
        pytest.param(b"", b"", id="empty"),
        pytest.param(b'{"id": 0}\n', b'{"id": 0}\n', id="whole lines"),
        pytest.param(b'{"id": 0}', b'{"id": 0}\n', id="a whole line without its end"),
        pytest.param(b'{"id": 0}\n{"id": 1}', b'{"id": 0}\n{"id": 1}\n', id="the same after another"),
        pytest.param(b'{"id', b"", id="half a line alone"),
        pytest.param(b'{"id": 0}\n{"name": "Zo\xc3', b'{"id": 0}\n', id="half a letter"),
        pytest.param(b'{"id": 0}\n{"id": "' + b"x" * 300_000, b'{"id": 0}\n', id="half a long line"),
        pytest.param(
            b'{"id": 0}\n' + b'{"id": 1}\n' * 30_000 + b"{", b'{"id": 0}\n' + b'{"id": 1}\n' * 30_000, id="long"
        ),
    ],
)
def test_what_is_appended_begins_a_line(file, before, kept):
    file.write_bytes(before)
    append(file, BATCH)
    assert file.read_bytes() == kept + "".join(BATCH).encode()


def test_a_line_that_cannot_be_made_leaves_nothing_of_its_batch(file):
    def lines():
        yield from BATCH
        raise TypeError

    append(file, BATCH)
    with pytest.raises(TypeError):
        append(file, lines())
    assert file.read_text() == "".join(BATCH)


def test_stopped_within_a_batch_no_state_of_it_is_said(tmp_path, monkeypatch, capsys):
    signals = (signal.SIGTERM, signal.SIGINT)
    before = {one: signal.getsignal(one) for one in signals}
    messages = [
        {"type": "SCHEMA", "stream": "users", "key_properties": [], "schema": {"properties": {"id": {}}}},
        {"type": "RECORD", "stream": "users", "record": {"id": 1}},
        {"type": "STATE", "value": {"bookmarks": {"users": {"at": 1}}}},
    ]
    monkeypatch.setattr(os, "fsync", lambda _: signal.raise_signal(signal.SIGTERM))
    try:
        with pytest.raises(SystemExit) as ended:
            target = TargetJsonl(config={"destination_path": str(tmp_path)})
            target.listen(io.StringIO("".join(f"{json.dumps(one)}\n" for one in messages)))
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    assert ended.value.code == 143
    assert (tmp_path / "users.jsonl").read_text() == ""
    assert "bookmarks" not in capsys.readouterr().out
