"""Whose process one is, as its kernel tells it: to root, to others, and where /proc hides processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.drivers.meltano import family

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
NO_MOUNT = 77
BY_NOBODY = """
import ctypes, os, sys, time
sys.path.append(sys.argv[1].rsplit("/", 3)[0])
from orchestrator.drivers.meltano import family

libc, hidden = ctypes.CDLL(None), b"hidepid=" + sys.argv[2].encode()
if libc.unshare(0x20000) or libc.mount(b"none", b"/", None, 0x4000 | 1 << 18, None):
    sys.exit(77)
if libc.mount(b"proc", b"/proc", b"proc", 0, hidden):
    sys.exit(77)
os.setgid(65534)
os.setuid(65534)
reading, writing = os.pipe()
child = os.fork()
if child == 0:
    libc.prctl(4, 0, 0, 0, 0)  # as init and Meltano do
    os.write(writing, b"x")
    time.sleep(600)
os.read(reading, 1)
living = family.is_below(child, os.getpid())
os.kill(child, 9)
os.waitpid(child, 0)
print(living, family.is_below(child, os.getpid()))
"""


@pytest.mark.skipif(os.geteuid() != 0 or not Path("/usr/bin/python3").exists(), reason="needs root and a Python")
@pytest.mark.parametrize(("hidepid", "expected"), [("0", "True False"), ("1", "None False"), ("2", "None False")])
def test_of_a_process_that_is_hidden_nothing_is_said_but_of_one_that_is_gone(scripts, hidepid, expected):
    command = ("/usr/bin/python3", "-I", "-S", "-c", BY_NOBODY, scripts, hidepid)
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode == NO_MOUNT:
        pytest.skip("this machine does not let us mount")
    assert (done.stderr, done.stdout) == ("", f"{expected}\n")


def test_a_process_is_below_who_started_it_and_below_nobody_else():
    with subprocess.Popen(("sleep", "600")) as process:
        assert family.is_below(process.pid, os.getpid()) is True
        assert family.is_below(os.getpid(), process.pid) is False
        process.kill()


NOBODYS = 9_999_999  # more than there are process ids
CALLED = """
import ctypes, time
ctypes.CDLL(None).prctl(15, {name!r}, 0, 0, 0)
print(flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("name", [b"\rPPid:\t%d" % NOBODYS, b"a\r\rb", b"\r:\r1", b":", b"", b"\n\\\n", b"\xff\x85 7"])
def test_what_a_process_calls_itself_says_nothing_of_whose_it_is(name):
    command = (sys.executable, "-I", "-S", "-c", CALLED.format(name=name))
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert family.is_below(process.pid, NOBODYS) is False
        assert family.is_below(process.pid, os.getpid()) is True
        assert family.usage(os.getpid())[2] >= 1
        process.kill()
