"""A worker's process from the inside: threads, the real queue and a real database; Meltano as a script."""

import threading
import time
from contextlib import contextmanager

import pytest
from sqlalchemy import text

from orchestrator.domains.runs import service as runs
from orchestrator.domains.runs.types import RunStatus
from orchestrator.drivers.bundle import Drivers
from orchestrator.entry import wiring
from orchestrator.entry.worker import Worker
from orchestrator.migrations import runner
from orchestrator.migrations.runner import NewerDatabaseError

PATIENCE = 60.0  # seconds until a test gives up waiting


@pytest.fixture
def process(drivers):
    """Another process on the same installation, as far as it can be told within this one."""
    made = []

    def start(check=wiring._fits):
        other = Drivers(settings=drivers.settings, check=check)
        other.__dict__.update(meltano=drivers.meltano, plugins=drivers.plugins)
        made.append(other)
        return other

    yield start
    for one in made:
        one.close()


@contextmanager
def working(drivers):
    """A worker that works, drained at the end unless it has ended; answers it and what it raised."""
    worker, raised = Worker(drivers, concurrency=2, version="test"), []

    def work():
        try:
            worker.work()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield thread, raised
    finally:
        worker.drain()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def eventually(look, what):
    until = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < until, what
        time.sleep(0.02)
    return found


def test_a_worker_older_than_the_database_takes_nothing_and_ends_while_a_newer_one_goes_on(
    drivers, ready, process, meltano, caplog
):
    go_on = threading.Event()
    meltano.act = lambda _: go_on.wait(PATIENCE)
    under_way = runs.submit(drivers, ready)
    with working(process()) as (old, raised):
        eventually(lambda: find(drivers, under_way).status is RunStatus.RUNNING, "the run begins")
        with drivers.db.connection() as connection:
            connection.execute(text("UPDATE orchestrator.alembic_version SET version_num = '2099_01_01_0000'"))
        try:
            eventually(lambda: "Runs under way go on" in caplog.text, "the old worker notices")
            assert old.is_alive(), "it waits for its run"
            go_on.set()
            eventually(lambda: find(drivers, under_way).status.ended, "the run ends")
            old.join(PATIENCE)
            [error] = raised
            assert isinstance(error, NewerDatabaseError)
            assert (error.exit_code, "newer orchestrator" in error.message) == (8, True)
            later = runs.submit(drivers, ready)
            with working(process(check=lambda _db: None)):
                eventually(lambda: find(drivers, later).status.ended, "the newer worker does the next run")
        finally:
            with drivers.db.connection() as connection:
                connection.execute(
                    text("UPDATE orchestrator.alembic_version SET version_num = :head"), {"head": runner.head()}
                )
    assert find(drivers, later).status is RunStatus.SUCCEEDED
    assert "Traceback" not in caplog.text


def test_a_paused_worker_waits_and_goes_on_by_itself_once_somebody_has_said_so(drivers, ready, process, caplog):
    caplog.set_level("INFO")
    runs.look_back(drivers)
    with drivers.db.connection() as connection:
        connection.execute(text("UPDATE orchestrator.installation SET database = 1"))
    run = runs.submit(drivers, ready)
    with working(process()) as (thread, _):
        eventually(lambda: "Paused, since" in caplog.text, "it says so")
        time.sleep(0.5)
        assert find(drivers, run).status is RunStatus.QUEUED
        assert thread.is_alive()
        runs.resume(drivers)
        eventually(lambda: find(drivers, run).status.ended, "the run is done")
    assert find(drivers, run).status is RunStatus.SUCCEEDED


def find(drivers, run):
    return runs.find(drivers, run.org_id, run.id)
