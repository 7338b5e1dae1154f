"""What is in memory stays there, whatever ends the process."""

import os
import resource
import sys

import pytest

CRASH = """
import os, signal, sys
from orchestrator.kernel import memory
memory.keep_private()
os.chdir(sys.argv[1])
os.kill(os.getpid(), signal.SIGSEGV)
"""


@pytest.fixture
def unlimited():
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, before)


@pytest.mark.usefixtures("unlimited")
def test_a_crash_leaves_no_core_dump(tmp_path):
    child = os.posix_spawn(sys.executable, [sys.executable, "-c", CRASH, str(tmp_path)], os.environ)
    status = os.waitpid(child, 0)[1]

    assert os.WIFSIGNALED(status)
    assert not os.WCOREDUMP(status)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="Linux keeps it by a flag")
def test_other_processes_of_our_user_cannot_read_our_memory():
    program = """
import ctypes, sys
from orchestrator.kernel import memory
memory.keep_private()
sys.exit(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", program]) == 0
