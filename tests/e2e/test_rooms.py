"""What a session that was killed left is ended and removed by the next; what a living one has is left alone."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.e2e.rooms import clear


def test_of_a_killed_session_nothing_is_left_and_of_a_living_one_everything(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    dead, living, other = (
        tmp_path / name for name in (f"e2e-{gone.pid}-ab12", f"chaos-{os.getpid()}-ab12", "e2e-ab12")
    )
    commands = {}
    for path in (dead, living, other):
        path.mkdir()
        environment = {**os.environ, "ORCHESTRATOR_RUNS__DIRECTORY": str(path / "runs")}
        commands[path] = subprocess.Popen(("sleep", "600"), env=environment)
    mount = ("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(dead))
    subprocess.run(mount, check=False, capture_output=True)  # where it may: that needs root
    (dead / "run-1").mkdir()
    try:
        clear(tmp_path)
        assert commands[dead].wait(60) == -signal.SIGKILL
        assert sorted(tmp_path.iterdir()) == sorted([living, other])
        assert [commands[path].poll() for path in (living, other)] == [None, None]
    finally:
        for command in commands.values():
            command.kill()
            command.wait()
