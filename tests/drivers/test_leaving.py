import subprocess
import sys

import pytest

BEGIN = "import atexit, os, sys, threading, time\nfrom orchestrator.drivers.leaving import leave\n"


def _ran(program, **options):
    words = [sys.executable, "-c", BEGIN + program]
    return subprocess.run(words, stderr=subprocess.PIPE, text=True, check=False, timeout=60, **options)


@pytest.mark.parametrize("code", [0, 3])
def test_what_python_does_at_its_end_is_done(code):
    ended = _ran(
        f"""
def last():
    time.sleep(0.2)
    print("thread")
atexit.register(print, "registered")
print("said")
threading.Thread(target=last).start()
leave({code})
""",
        stdout=subprocess.PIPE,
    )

    assert (ended.returncode, ended.stdout, ended.stderr) == (code, "said\nthread\nregistered\n", "")


def test_what_would_be_taken_apart_is_left_alone():
    ended = _ran(
        "class Kept:\n    __del__ = lambda self: os.write(1, b'gone')\nkept = Kept()\nleave(0)", stdout=subprocess.PIPE
    )

    assert ended.stdout == ""


@pytest.mark.parametrize(("code", "expected"), [(0, 120), (3, 3)])
def test_last_words_that_cannot_be_written_are_no_success(code, expected):
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        assert _ran(f"sys.stdout = open(1, 'w')\nprint('lost')\nleave({code})", stdout=full).returncode == expected


def test_streams_that_are_closed_or_missing_are_nobodys_trouble():
    assert _ran("sys.stdout.close()\nsys.stderr = None\nleave(0)", stdout=subprocess.PIPE).returncode == 0
