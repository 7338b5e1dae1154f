"""What stands between a plugin and Meltano, where Meltano is gone."""

import os
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="plugins are watched where Linux lets us")
PIPE = subprocess.PIPE
AS_3 = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"


@pytest.fixture
def plugin():
    with subprocess.Popen(("sleep", "600"), stdout=PIPE) as process:
        yield process
        process.kill()


@pytest.fixture
def relay(scripts, plugin):
    """A relay that hears us as a plugin, and that we hear as Meltano."""
    watched = os.pidfd_open(plugin.pid)
    records = str(Path(f"/proc/{plugin.pid}/fd/1").readlink())
    options = ("-I", "-S", scripts / "relay.py", records, str(os.getpid()))
    with subprocess.Popen(
        (sys.executable, "-c", AS_3, str(watched), *options), stdin=PIPE, stderr=PIPE, pass_fds=(watched,), bufsize=0
    ) as process:
        os.close(watched)
        yield process
        process.kill()


def processor_time(pid: int) -> int:
    """In hundredths of a second. source: man 5 proc_pid_stat"""
    facts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(facts[11]) + int(facts[12])


def test_who_is_heard_by_nobody_any_more_waits_for_the_plugins_end_at_no_cost(relay, plugin):
    relay.stderr.close()
    relay.stdin.write(b"something\n")
    hung_up = select.poll()
    hung_up.register(relay.stdin, 0)
    assert hung_up.poll(60_000), "the relay lets go of the plugin's pipe"

    before = processor_time(relay.pid)
    time.sleep(0.5)
    assert processor_time(relay.pid) - before <= 5

    plugin.kill()
    assert relay.wait(60) == 0
