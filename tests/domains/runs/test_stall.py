"""A run that does nothing for long is ended, and one that lives is not."""

from datetime import timedelta
from time import sleep

import pytest

from orchestrator.domains.runs import service
from orchestrator.domains.runs.types import FailureKind, RunStatus
from orchestrator.drivers.meltano.output import Source
from orchestrator.kernel.settings import Settings
from tests.fakes.meltano import counted, said, singer_state

STALL = 0.6  # seconds


@pytest.fixture
def hasty(drivers):
    """Drivers that give a silent run little time."""
    runs = drivers.settings.runs.model_copy(update={"stall": timedelta(seconds=STALL)})
    drivers.settings = Settings.model_copy(drivers.settings, update={"runs": runs})
    return drivers


def synced(drivers, integration):
    return service.execute(drivers, integration, service.request(drivers, integration))


def speaking(meltano, says):
    """A plugin that says something, again and again, for three times as long as a silent one may take."""
    heard = meltano.on_output
    for turn in range(9):
        heard(says(turn))
        sleep(STALL / 3)


def test_a_silent_run_is_ended_as_failed_and_may_be_tried_again(hasty, ready, meltano):
    def hang(fake):
        assert fake.cancel.wait(10), "somebody notices"

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
def test_a_run_that_gives_signs_of_life_goes_on(hasty, ready, meltano, says):
    meltano.act = lambda fake: speaking(fake, says)
    synced(hasty, ready)
    assert not meltano.cancel.is_set()


def test_committed_state_is_a_sign_of_life(hasty, ready, meltano):
    def commit(fake):
        for turn in range(9):
            fake.save_state("state", singer_state(users={"page": turn}))
            sleep(STALL / 3)

    meltano.act = commit
    assert synced(hasty, ready).status is RunStatus.SUCCEEDED


def test_the_same_line_again_and_again_is_none(hasty, ready, meltano):
    meltano.act = lambda fake: speaking(fake, lambda _: said("Waiting for the job"))
    assert synced(hasty, ready).failure.kind is FailureKind.TIMEOUT


def test_who_cancels_a_run_that_hangs_sees_it_cancelled(hasty, ready, meltano):
    run = service.request(hasty, ready)

    def cancel(fake):
        service.cancel(hasty, run)
        assert fake.cancel.wait(10)

    meltano.act = cancel
    assert service.execute(hasty, ready, run).status is RunStatus.CANCELLED
