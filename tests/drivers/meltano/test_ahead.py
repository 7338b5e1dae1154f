"""Meltano that was imported ahead runs as any other; one that is not needed is gone."""

import json
import os
import signal
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from orchestrator.drivers.meltano import ahead
from orchestrator.drivers.meltano.process import Isolation, Stopped
from orchestrator.drivers.meltano.runner import Meltano
from orchestrator.drivers.meltano.values import Project

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="others have no capabilities to lose")
ONLY_FILES = 0b11111  # CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID: man 7 capabilities


@pytest.fixture
def waiting():
    """The supervisor that imports Meltano."""
    ahead.begin()
    [one] = ahead._waiting
    yield one.process
    ahead.end()


def run(meltano, project, **more):
    said = []
    given = {"on_output": said.append, "load_state": lambda _: None, "save_state": lambda *_: None}
    end = meltano.run(project, **(given | more))
    assert not ahead._waiting
    return end, "\n".join(getattr(output, "message", "") for output in said)


@pytest.mark.parametrize("isolation", Isolation)
def test_a_run_goes_through_the_one_that_waits(waiting, tmp_path, runs, tap, target, isolation):
    meltano = Meltano(home=tmp_path / "home", runs=runs, isolation=isolation)
    saved = []

    end, said = run(
        meltano,
        Project(extractor=tap(streams={"users": 2500}), loader=target()),
        save_state=lambda _, state: saved.append(state["completed"]["singer_state"]["bookmarks"]["users"]["id"]),
    )

    assert (end.code, end.error, end.read, end.written) == (0, None, {"users": 2500}, {"users": 2500})
    assert (waiting.returncode, saved[-1]) == (0, 2500)
    assert "\x1b" not in said
    assert list(runs.iterdir()) == []


def test_a_plugin_that_fails_is_told_of_as_always(waiting, meltano, tap, target):
    failing = Project(extractor=tap(streams={"users": 10}, fail_after=5), loader=target())
    ours, _ = run(meltano, failing)
    always, _ = run(meltano, failing)

    assert (ours.code, ours.error, ours.side) == (always.code, always.error, always.side)
    assert ours.code


def test_it_ends_when_it_is_asked_to(waiting, meltano, tap, target, runs):
    cancel = threading.Event()
    project = Project(extractor=tap(streams={"users": 1}, hang=True), loader=target())

    end, _ = run(
        meltano,
        project,
        on_output=lambda output: "waiting" in getattr(output, "message", "") and cancel.set(),
        cancel=cancel,
    )

    assert end.stopped is Stopped.CANCELLED
    assert list(runs.iterdir()) == []


@pytest.fixture
def during(meltano, tap, target):
    """Meltano's own process, while it asks for its state."""
    seen = {}

    def look(_):
        [supervisor] = [one for one in psutil.Process().children() if "supervise.py" in " ".join(one.cmdline())]
        [init] = supervisor.children()
        [process] = init.children()
        seen["name"] = process.name()
        seen["status"] = Path(f"/proc/{process.pid}/status").read_text()
        opened = {int(one.name): str(one.readlink()) for one in Path(f"/proc/{process.pid}/fd").iterdir()}
        seen["pipes"] = {number for number, what in opened.items() if what.startswith("pipe:")}

    end, _ = run(meltano, Project(extractor=tap(streams={"users": 1}), loader=target()), load_state=look)
    assert not end.code
    return seen


@ROOT
def test_meltano_may_do_no_more_than_use_files(waiting, during):
    sets = dict(line.split(":\t") for line in during["status"].splitlines() if line.startswith("Cap"))
    assert {int(sets[name], 16) & ~ONLY_FILES for name in ("CapInh", "CapPrm", "CapEff", "CapBnd")} == {0}
    assert int(sets["CapEff"], 16)


def test_a_plugin_can_read_nothing_of_the_meltano_that_starts_it(waiting, meltano, tap, target, tmp_path):
    run(meltano, Project(extractor=tap(streams={"users": 1}, copy_to=str(tmp_path)), loader=target()))

    given = json.loads((tmp_path / "tap.json").read_text())
    assert given["parent"] == []


def test_whoever_lists_processes_sees_meltano(waiting, during):
    assert during["name"] == "meltano"


def test_meltano_has_no_pipe_of_the_supervisor_but_what_it_writes_to(waiting, during):
    assert during["pipes"] == {1, 2}


def test_where_it_is_gone_meltano_starts_as_always(waiting, meltano, tap, target):
    waiting.send_signal(signal.SIGKILL)
    waiting.wait()

    end, _ = run(meltano, Project(extractor=tap(streams={"users": 1}), loader=target()))

    assert end.written == {"users": 1}


def test_a_limit_holds_for_it_too(waiting, meltano, tap, target):
    project = Project(extractor=tap(streams={"users": 1}, hang=True), loader=target())
    end, _ = run(meltano, project, timeout=timedelta(seconds=3))
    assert end.stopped is Stopped.TIMED_OUT


def test_nobody_takes_it_twice_and_none_is_left(waiting):
    ahead.end()
    assert waiting.returncode == -signal.SIGKILL
    assert ahead.take() is None


def test_it_ends_with_the_command_that_began_it():
    program = """
import sys
from orchestrator.drivers.meltano import ahead
ahead.begin()
print(ahead._waiting[0].process.pid, flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        (sys.executable, "-c", program), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as command:
        waiting = psutil.Process(int(command.stdout.readline()))
        command.kill()
    psutil.wait_procs([waiting], timeout=60)
    assert not waiting.is_running()
