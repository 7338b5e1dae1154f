"""How a run is ended, whoever holds on to it."""

import fcntl
import threading
from datetime import timedelta

import pytest

from orchestrator.drivers.meltano.output import LogLine
from orchestrator.drivers.meltano.process import Isolation, Stopped
from orchestrator.drivers.meltano.runner import Meltano
from orchestrator.drivers.meltano.values import Project
from tests.drivers.meltano.callbacks import Callbacks


@pytest.mark.parametrize("isolation", list(Isolation))
def test_cancelling_ends_everything_even_what_daemonised(meltano, tap, target, tmp_path, isolation):
    cancel = threading.Event()
    held = tmp_path / "held"
    runs = meltano.runs

    class Cancelling(Callbacks):
        def on_output(self, output):
            super().on_output(output)
            if isinstance(output, LogLine) and output.message == "waiting":
                cancel.set()

    extractor = tap(streams={"users": 1}, hang=True, deaf=True, daemon=str(held))
    impatient = Meltano(home=meltano.home, runs=runs, grace=timedelta(seconds=0.5), isolation=isolation)
    end = Cancelling().run(impatient, Project(extractor=extractor, loader=target()), cancel=cancel)

    assert end.stopped is Stopped.CANCELLED
    assert end.code != 0
    with held.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the grandchild held it while it lived
    assert list(runs.iterdir()) == []


@pytest.mark.parametrize("keeps", [[1], [2], [1, 2]], ids=["records", "words", "both"])
@pytest.mark.parametrize("isolation", list(Isolation))
def test_a_process_that_holds_a_pipe_of_a_plugin_that_is_over_keeps_the_run_for_seconds(
    meltano, tap, target, tmp_path, isolation, keeps
):
    extractor = tap(streams={"users": 3}, daemon=str(tmp_path / "held"), daemon_keeps=keeps)
    other = Meltano(home=meltano.home, runs=meltano.runs, isolation=isolation)

    end = Callbacks().run(other, Project(extractor=extractor, loader=target()), timeout=timedelta(minutes=5))

    assert (end.code, end.stopped, end.written) == (0, None, {"users": 3})
    assert end.seconds < 240, "the daemon lives for ten minutes"
    with (tmp_path / "held").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_run_ends_at_its_timeout(meltano, tap, target):
    callbacks = Callbacks()
    extractor = tap(streams={"users": 1}, hang=True)

    end = callbacks.run(meltano, Project(extractor=extractor, loader=target()), timeout=timedelta(seconds=1.5))

    assert end.stopped is Stopped.TIMED_OUT


def test_an_error_of_the_caller_ends_the_run_and_reaches_the_caller(meltano, tap, target, tmp_path):
    held = tmp_path / "held"

    class LeaseLostError(Exception):
        pass

    def lost(output):
        if isinstance(output, LogLine) and output.message == "waiting":
            raise LeaseLostError

    extractor = tap(streams={"users": 1}, hang=True, daemon=str(held))
    with pytest.raises(LeaseLostError):
        Callbacks().run(meltano, Project(extractor=extractor, loader=target()), on_output=lost)

    with held.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert list(meltano.runs.iterdir()) == []


def test_a_huge_line_is_cut_and_the_run_goes_on(meltano, tap, target):
    callbacks = Callbacks()
    end = callbacks.run(meltano, Project(extractor=tap(streams={"users": 1}, long_line=30_000_000), loader=target()))

    assert max(len(line.message) for line in callbacks.outputs if isinstance(line, LogLine)) < 20_000
    assert end.written == {"users": 1}
