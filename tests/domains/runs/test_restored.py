"""A control-plane database that was restored from a backup or copied: workers begin nothing until somebody says so."""

import os
import subprocess
import threading
from datetime import timedelta

import pytest
from sqlalchemy import create_engine, text

from orchestrator.domains.runs import queries, service
from orchestrator.domains.runs.types import RunStatus
from orchestrator.drivers.embedded_postgres import binaries
from orchestrator.drivers.liveness import WorkerMark
from orchestrator.kernel.db import Database, Role, engine, normalised
from orchestrator.kernel.settings import RunSettings
from tests.domains.runs.test_queue import handed, join
from tests.fixtures.drivers import as_killed


@pytest.fixture
def backup(server, tmp_path):
    """Dump the control plane as an operator does, and restore it: into the same database, or into a new one."""
    folder = next(one for one in binaries.folders(None) if (one / "pg_dump").exists())
    file = tmp_path / "yesterday.dump"
    admin = create_engine(normalised(server.url("orchestrator")), isolation_level="AUTOCOMMIT")

    def program(name, *arguments):
        environment = {
            **os.environ, "PGHOST": server.host, "PGPORT": str(server.port), "PGUSER": server.user,
            "PGPASSWORD": server.password.get_secret_value(),
        }  # fmt: skip
        subprocess.run([folder / name, *arguments], env=environment, check=True, capture_output=True)

    class Backup:
        def take(self):
            program("pg_dump", "--format=custom", f"--file={file}", "orchestrator")

        def restore(self):
            program("pg_restore", "--clean", "--if-exists", "--dbname=orchestrator", str(file))

        def restore_elsewhere(self):
            with admin.connect() as connection:
                connection.execute(text("DROP DATABASE IF EXISTS elsewhere WITH (FORCE)"))
                connection.execute(text("CREATE DATABASE elsewhere"))
            program("pg_restore", "--dbname=elsewhere", str(file))
            return server.url("elsewhere")

    yield Backup()
    with admin.connect() as connection:
        connection.execute(text("DROP DATABASE IF EXISTS elsewhere WITH (FORCE)"))
    admin.dispose()


@pytest.fixture(autouse=True)
def unhurried(drivers):
    """Heartbeats as in production: a dump takes longer than those of other tests."""
    drivers.settings = drivers.settings.model_copy(update={"runs": RunSettings()})


def done(drivers, ready):
    run = service.submit(drivers, ready)
    assert service.dispatch(drivers) or handed(drivers)
    return service.take(drivers, ready.org_id, run.id, drain=threading.Event())


def test_what_was_done_since_the_backup_is_missed_and_everybody_waits(drivers, ready, backup, command):
    assert service.look_back(drivers) is None
    join(drivers)
    assert done(drivers, ready).status is RunStatus.SUCCEEDED
    assert service.look_back(drivers) is None
    backup.take()
    assert service.look_back(drivers) is None, "a backup alone changes nothing"
    lost = done(drivers, ready)
    assert service.look_back(drivers) is None
    backup.restore()
    because = service.look_back(drivers)
    assert lost.id in because

    waiting = service.submit(drivers, ready)
    join_again(drivers)
    assert (service.dispatch(drivers), handed(drivers)) == (0, {})
    assert "workers are paused" in service.waiting(drivers, waiting)[1]
    listed = command("workers", "list")
    assert lost.id in listed.err
    assert "orchestrator workers resume" in listed.err

    assert lost.id in command("workers", "resume").err
    assert service.look_back(drivers) is None, "what is remembered of before counts no more"
    assert service.dispatch(drivers) == 1
    assert "not paused" in command("workers", "resume").err


def test_an_attempt_that_the_database_has_lost_is_enough(drivers, ready, backup):
    assert service.look_back(drivers) is None
    join(drivers)
    run = service.submit(drivers, ready)
    backup.take()
    service.take(drivers, ready.org_id, run.id, drain=threading.Event())
    backup.restore()
    assert "or not that it was begun" in service.look_back(drivers)


def test_a_copy_is_worked_on_by_nobody_even_where_nobody_remembers_anything(drivers, ready, backup):
    assert service.look_back(drivers) is None
    backup.take()
    pool = engine(backup.restore_elsewhere())
    original = drivers.db
    drivers.__dict__.update(db=Database(pool), unchecked_db=Database(pool))
    try:
        because = service.look_back(drivers)
        assert "copied or restored into another" in because
        assert service.paused(drivers) == because
        assert service.resume(drivers) == because
        assert service.look_back(drivers) is None
    finally:
        drivers.__dict__.update(db=original, unchecked_db=original)
        pool.dispose()
    assert service.look_back(drivers) is None, "the original works on"


def test_looking_at_the_workers_ends_nothing_of_a_restored_database(drivers, ready, command):
    run, dead = service.request(drivers, ready), WorkerMark(drivers.workers_folder)
    with drivers.db.transaction(ready.org_id, role=Role.WORKER) as tx:
        queries.claim(tx, run.id, worker=dead.name, lease=timedelta(minutes=5))
    as_killed(dead)
    assert command("workers", "list", "--json").json == []
    assert service.find(drivers, ready.org_id, run.id).status is RunStatus.RUNNING
    assert [one.id for one in service.recover(drivers)] == [run.id], "that its worker died is still known"


def join_again(drivers):
    """The worker's row may have come back with the backup."""
    service.leave(drivers)
    join(drivers)
