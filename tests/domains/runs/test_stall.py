"""A run that does nothing for long is ended, and one that lives is not."""

import threading
from datetime import timedelta
from time import monotonic

import pytest

from orchestrator.domains.runs import service
from orchestrator.domains.runs.service import recording
from orchestrator.domains.runs.service.recording import Recorder
from orchestrator.domains.runs.types import FailureKind, RunStatus
from orchestrator.drivers.meltano.output import Source
from orchestrator.kernel.settings import Settings
from tests.fakes.meltano import counted, said, singer_state

STALL = 600.0  # seconds; more than any machine holds a test up
PATIENCE = 60.0  # seconds until a test gives up waiting


class Time:
    """The recorder's, which goes by when a test says so."""

    def __init__(self):
        self._gone = 0.0
        self.looked = threading.Event()

    def now(self):
        return monotonic() + self._gone

    def by(self, seconds):
        """Let so much go by, and wait until the heart has looked at the time: a look may have begun before."""
        self._gone += seconds
        for _ in range(2):
            self.looked.clear()
            assert self.looked.wait(PATIENCE), "the heart beats"


@pytest.fixture
def time(monkeypatch):
    time, heed = Time(), Recorder._heed_stall

    def look(recorder):
        heed(recorder)
        time.looked.set()

    monkeypatch.setattr(recording, "monotonic", time.now)
    monkeypatch.setattr(Recorder, "_heed_stall", look)
    return time


@pytest.fixture
def hasty(drivers, time):
    """Drivers that know how long a run may be silent."""
    runs = drivers.settings.runs.model_copy(update={"stall": timedelta(seconds=STALL)})
    drivers.settings = Settings.model_copy(drivers.settings, update={"runs": runs})
    return drivers


def synced(drivers, integration):
    return service.execute(drivers, integration, service.request(drivers, integration))


def again_and_again(time, live):
    """Signs of life, in all for three times as long as a silent run may take."""
    for turn in range(5):
        live(turn)
        time.by(STALL * 0.6)


def test_a_silent_run_is_ended_as_failed_and_may_be_tried_again(hasty, ready, meltano, time):
    def hang(fake):
        time.by(STALL * 0.9)
        assert not fake.cancel.is_set(), "not yet"
        time.by(STALL * 0.2)
        assert fake.cancel.wait(PATIENCE), "somebody notices"

    meltano.act = hang
    run = synced(hasty, ready)
    assert (run.status, run.failure.kind, run.failure.retryable) == (RunStatus.FAILED, FailureKind.TIMEOUT, True)
    assert "nothing was read, written or said" in run.failure.message


@pytest.mark.parametrize(
    "says",
    [
        pytest.param(lambda turn: counted(Source.TAP, "users", 1), id="records"),
        pytest.param(lambda turn: said(f"page {turn}"), id="new lines"),
    ],
)
def test_a_run_that_gives_signs_of_life_goes_on(hasty, ready, meltano, time, says):
    def speak(fake):
        again_and_again(time, lambda turn: fake.on_output(says(turn)))
        assert not fake.cancel.is_set()

    meltano.act = speak
    synced(hasty, ready)


def test_committed_state_is_a_sign_of_life(hasty, ready, meltano, time):
    def commit(fake):
        again_and_again(time, lambda turn: fake.save_state("state", singer_state(users={"page": turn})))

    meltano.act = commit
    assert synced(hasty, ready).status is RunStatus.SUCCEEDED


def test_the_same_line_again_and_again_is_none(hasty, ready, meltano, time):
    def wait(fake):
        again_and_again(time, lambda _: fake.on_output(said("Waiting for the job")))

    meltano.act = wait
    assert synced(hasty, ready).failure.kind is FailureKind.TIMEOUT


def test_who_cancels_a_run_that_hangs_sees_it_cancelled(hasty, ready, meltano):
    run = service.request(hasty, ready)

    def cancel(fake):
        service.cancel(hasty, run)
        assert fake.cancel.wait(PATIENCE)

    meltano.act = cancel
    assert service.execute(hasty, ready, run).status is RunStatus.CANCELLED
