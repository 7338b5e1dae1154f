"""What happens when the orchestrator itself is killed: nothing may go on, and nothing may stay on disk."""

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.drivers.meltano import supervise
from orchestrator.drivers.meltano.process import Isolation, possible_isolation
from tests.drivers.meltano.conftest import program

ORCHESTRATOR = """
import sys
from pathlib import Path
from orchestrator.drivers.meltano.process import Isolation
from orchestrator.drivers.meltano.runner import Meltano
from orchestrator.drivers.meltano.values import Plugin, Project, Side

folder, isolation = Path(sys.argv[1]), Isolation(sys.argv[2])
tap = Plugin(
    side=Side.EXTRACTOR, name="tap-fixture", executable=folder / "tap",
    config={"streams": {"users": 1}, "hang": True, "deaf": True, "daemon": str(folder / "held")},
)
target = Plugin(side=Side.LOADER, name="target-fixture", executable=folder / "target", config={"folder": str(folder)})
Meltano(home=folder / "home", runs=folder / "runs", isolation=isolation).run(
    Project(extractor=tap, loader=target),
    on_output=lambda output: print(getattr(output, "message", ""), flush=True),
    load_state=lambda _: None,
    save_state=lambda *_: None,
)
"""


@pytest.fixture
def running(tmp_path, request):
    """An orchestrator in a process of its own, at the moment its tap waits for ever."""
    program(tmp_path, "tap")
    program(tmp_path, "target")
    command = (sys.executable, "-c", ORCHESTRATOR, str(tmp_path), request.param)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert any(line == "waiting\n" for line in process.stdout)
        yield process
        process.kill()


def wait_for_lock(path: Path) -> None:
    """Returns when nobody holds it any more; the run's own directory may be gone with it."""
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)


@pytest.mark.parametrize("running", list(Isolation), indirect=True)
def test_kill_9_of_the_orchestrator_leaves_no_process_and_no_file(running, tmp_path):
    [run] = (tmp_path / "runs").iterdir()
    with (run / "lock").open() as lock:
        running.kill()
        running.wait()
        fcntl.flock(lock, fcntl.LOCK_EX)  # the supervisor holds it until all is done

    wait_for_lock(tmp_path / "held")
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.parametrize("running", [Isolation.NAMESPACE], indirect=True)
def test_kill_9_of_the_supervisor_ends_its_run(running, tmp_path):
    [supervisor] = children(running.pid)

    os.kill(supervisor, signal.SIGKILL)

    wait_for_lock(tmp_path / "held")
    running.wait()
    assert list((tmp_path / "runs").iterdir()) == []


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_command_that_does_not_exist_is_said_and_ends_with_127(tmp_path):
    supervisor = Path(supervise.__file__)
    with (tmp_path / "lock").open("w") as lock:
        command = (sys.executable, supervisor, tmp_path, str(lock.fileno()), "namespace", "/does/not/exist")
        pipe = subprocess.PIPE
        with subprocess.Popen(command, pass_fds=(lock.fileno(),), stdin=pipe, stderr=pipe, text=True) as process:
            assert process.stderr.read() == "/does/not/exist: No such file or directory\n"
            assert process.wait() == 127
    assert tmp_path.exists()


def test_a_plugin_cannot_see_processes_outside_its_namespace(tmp_path):
    with (tmp_path / "lock").open("w") as lock:
        command = (sys.executable, supervise.__file__, tmp_path, str(lock.fileno()), "namespace", "/bin/ls", "/proc")
        pipe = subprocess.PIPE
        with subprocess.Popen(command, pass_fds=(lock.fileno(),), stdin=pipe, stdout=pipe, text=True) as process:
            numbers = {int(line) for line in process.stdout.read().split() if line.isdigit()}
            process.wait()
    if not numbers <= {1, 2}:
        pytest.skip("this machine does not let us mount /proc")
    assert numbers == {1, 2}


def test_the_isolation_that_is_possible_here_can_be_asked_for():
    assert possible_isolation() in {*Isolation, None}
