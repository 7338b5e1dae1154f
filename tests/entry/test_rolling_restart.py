"""Workers are replaced one by one while they work: real processes, real signals, Meltano as a script."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.types import NewIntegration
from orchestrator.domains.runs import service as runs
from orchestrator.domains.runs.types import RunRequest, RunStatus
from orchestrator.kernel.settings import RunSettings
from tests.fixtures.drivers import GITHUB, USERS

RUNS = 20
WORKERS = 3
PATIENCE = 90.0  # seconds


@pytest.fixture
def start(drivers):
    """Start a worker's process on the test's installation."""
    started = []

    def worker():
        environment = {
            **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")},
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "ORCHESTRATOR_HOME": str(drivers.settings.home),
            "ORCHESTRATOR_NETWORK__ALLOW_PRIVATE": "true",
            "ORCHESTRATOR_ENV_FILE": "/nonexistent",
            "DATABASE_URL": drivers.settings.database_url.get_secret_value(),
            "FAKE_RUN_SECONDS": "1.0",
        }
        command = (sys.executable, "-m", "tests.fakes.command_line", "worker", "--concurrency", "2")
        log = drivers.settings.home / f"worker-{len(started)}.log"
        with log.open("wb") as said:
            started.append(
                subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
            )
        return started[-1], log

    yield worker
    for process in started:
        process.kill()
        process.wait()


def eventually(look, what):
    until = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < until, what
        time.sleep(0.05)
    return found


def test_a_rolling_restart_under_load_fails_no_run(drivers, place, meltano, start):
    drivers.settings = drivers.settings.model_copy(update={"runs": RunSettings()})
    meltano.catalog = {"streams": [USERS]}
    there = [
        integrations.add(drivers, place, NewIntegration(type="github", name=f"I{number}", values=GITHUB))
        for number in range(RUNS)
    ]
    for one in there:
        integrations.discover(drivers, one)
        integrations.choose(drivers, one, ["*"], selected=True)
    workers = [start() for _ in range(WORKERS)]
    eventually(lambda: sum(one.alive for one in runs.workers(drivers)) == WORKERS, "the workers begin")
    wanted = [RunRequest(org_id=one.org_id, integration_id=one.id, provider=one.type, trigger="test") for one in there]
    with drivers.db.transaction(place.org_id) as tx:
        runs.enqueue(drivers, tx, wanted)
    runs.dispatch(drivers)
    for process, log in workers:
        eventually(lambda pid=process.pid: busy(drivers, pid), "the worker has runs")
        process.send_signal(signal.SIGTERM)
        replacement, _ = start()
        assert process.wait(PATIENCE) == 0
        assert "Traceback" not in log.read_text()
        eventually(lambda pid=replacement.pid: present(drivers, pid), "the next one is there")
    ended = eventually(lambda: all_ended(drivers, place), "all runs end")
    assert {run.status for run in ended} == {RunStatus.SUCCEEDED}
    assert len(ended) == RUNS
    assert any(run.epoch > 1 for run in ended), "some were given back and went on elsewhere"
    assert sum(one.alive for one in runs.workers(drivers)) == WORKERS


def busy(drivers, pid):
    return any(one.pid == pid and one.busy for one in runs.workers(drivers)) or not waiting(drivers)


def waiting(drivers):
    return [one for one in runs.listing(drivers, place_of(drivers), limit=RUNS) if not one.status.ended]


def present(drivers, pid):
    return any(one.pid == pid for one in runs.workers(drivers))


def all_ended(drivers, place):
    found = runs.listing(drivers, place.org_id, limit=2 * RUNS)
    return found if all(run.status.ended for run in found) else None


def place_of(drivers):
    from orchestrator.domains.identity import service as identity

    return identity.find(drivers.db, drivers.settings.organization).org_id
