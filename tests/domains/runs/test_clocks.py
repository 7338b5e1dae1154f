"""A worker whose clock is wrong: leases, heartbeats and the next try go by the database's."""

import threading
import time
from datetime import timedelta

import pytest
from sqlalchemy import text

from orchestrator.domains.runs import service
from orchestrator.domains.runs.types import RunStatus
from orchestrator.kernel.settings import RunSettings
from tests.domains.runs.lines import join

BACKOFF = (
    timedelta(0),
    timedelta(seconds=36),
)  # 30 s, a fifth more or less; what a busy machine takes is less than five minutes


@pytest.fixture(params=[timedelta(minutes=5), timedelta(minutes=-5)], ids=["five minutes ahead", "five minutes late"])
def wrong_clock(request, monkeypatch):
    """This process's idea of the time."""
    real, real_ns, shift = time.time, time.time_ns, request.param.total_seconds()
    monkeypatch.setattr("time.time", lambda: real() + shift)
    monkeypatch.setattr("time.time_ns", lambda: real_ns() + int(shift * 1e9))


def asked(drivers, question):
    with drivers.db.connection() as connection:
        return connection.scalar(text(question))


def test_a_worker_with_a_wrong_clock_holds_its_run_beats_and_tries_again_in_time(drivers, ready, meltano, wrong_clock):
    drivers.settings = drivers.settings.model_copy(update={"runs": RunSettings()})
    join(drivers)
    run = service.submit(drivers, ready)
    seen = []

    def look(_fake):
        left = asked(drivers, "SELECT lease_until - clock_timestamp() FROM orchestrator.run_attempts")
        seen.append((left, service.recover(drivers), service.workers(drivers)[0].alive))

    meltano.act, meltano.code, meltano.error = look, 1, "503 Service Unavailable"
    ended = service.take(drivers, ready.org_id, run.id, drain=threading.Event())
    [(left, recovered, alive)] = seen
    assert timedelta(0) < left <= drivers.settings.runs.lease
    assert (recovered, alive, ended.status) == ([], True, RunStatus.RETRYING)
    wait = asked(drivers, "SELECT not_before - clock_timestamp() FROM orchestrator.run_queue")
    assert BACKOFF[0] < wait < BACKOFF[1]
    assert service.dispatch(drivers) == 0, "not yet"
    asked(drivers, "UPDATE orchestrator.run_queue SET not_before = clock_timestamp() RETURNING 1")
    assert service.dispatch(drivers) == 1
