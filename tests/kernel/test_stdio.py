"""Streams that are closed or whose reader leaves: a result ends the command, a note never does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BEGIN = """
import os, sys
from orchestrator.kernel import stdio
stdio.prepare()
"""


@pytest.fixture
def left():
    """The writing end of a pipe whose reader has left."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


def _ran(program, **options):
    return subprocess.run([sys.executable, "-c", BEGIN + program], check=False, timeout=60, **options)


def test_a_result_that_nobody_reads_is_told_once_and_what_follows_is_dropped(left):
    program = """
try:
    print("a result", flush=True)
except stdio.ReaderLeftError:
    print("another", flush=True)
    sys.stderr.write("told once")
"""
    done = _ran(program, stdout=left, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"told once")


@pytest.mark.parametrize("gone", ["a reader", "room"])
def test_a_note_that_cannot_be_written_stops_nothing(gone, left):
    program = """
import threading
thread = threading.Thread(target=lambda: print("from a thread", file=sys.stderr, flush=True))
thread.start()
thread.join()
print("a note", file=sys.stderr, flush=True)
print("done")
"""
    with Path("/dev/full").open("wb") as full:
        done = _ran(program, stdout=subprocess.PIPE, stderr=left if gone == "a reader" else full)
    assert (done.returncode, done.stdout) == (0, b"done\n")


def test_a_result_without_room_is_an_error_as_ever():
    with Path("/dev/full").open("wb") as full:
        done = _ran("print('a result', flush=True)", stdout=full, stderr=subprocess.PIPE)
    assert b"No space left on device" in done.stderr


def test_what_is_closed_is_the_null_device_for_this_process_and_those_it_starts():
    program = f"""
import subprocess
print("nowhere", flush=True)
print("nowhere", file=sys.stderr, flush=True)
assert sys.stdin.read() == ""
assert min(os.pipe()) > 2, "nothing else comes to be there"
sys.exit(subprocess.call([{sys.executable!r}, "-c", "import os; [os.fstat(one) for one in range(3)]"]))
"""
    closed = "import os, sys\nfor one in range(3): os.close(one)\nos.execv(sys.argv[1], sys.argv[1:])"
    words = [sys.executable, "-c", closed, sys.executable, "-c", BEGIN + program]
    assert subprocess.run(words, check=False, timeout=60).returncode == 0


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_text_is_written_as_before(unbuffered):
    environment = {"PYTHONUNBUFFERED": unbuffered, "PYTHONIOENCODING": "latin-1:replace"}
    end = "os._exit(0)" if unbuffered else ""  # which leaves what is in a buffer behind
    done = _ran(f"print('Zoë 𝕏')\nprint('ß', file=sys.stderr)\n{end}", env=environment, capture_output=True)
    assert (done.stdout, done.stderr) == ("Zoë ?\n".encode("latin-1"), "ß\n".encode("latin-1"))
