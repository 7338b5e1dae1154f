"""A control-plane database that was restored from a backup or copied: workers begin nothing until somebody says so."""

import json
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
from tests.domains.runs.lines import handed, join
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


def lost_run(drivers, ready):
    """One whose worker died here, and nobody has looked since."""
    run, dead = service.request(drivers, ready), WorkerMark(drivers.workers_folder)
    with drivers.db.transaction(ready.org_id, role=Role.WORKER) as tx:
        queries.claim(tx, run.id, worker=dead.name, lease=timedelta(minutes=5))
    as_killed(dead)
    return run


def moved(drivers):
    """As if the database had been copied into another."""
    with drivers.db.connection() as connection:
        connection.execute(text("UPDATE orchestrator.installation SET database = 1"))


def test_looking_at_the_workers_ends_nothing_of_a_restored_database(drivers, ready, command):
    run = lost_run(drivers, ready)
    moved(drivers)
    assert command("workers", "list", "--json").json == []
    assert service.find(drivers, ready.org_id, run.id).status is RunStatus.RUNNING
    service.resume(drivers)
    assert [one.id for one in service.recover(drivers)] == [run.id], "that its worker died is still known"


def test_a_command_is_enough_to_find_that_the_database_was_set_back(drivers, ready, backup, command):
    lost = lost_run(drivers, ready)
    backup.take()
    assert [one.id for one in service.recover(drivers)] == [lost.id]
    later = service.execute(drivers, ready, service.request(drivers, ready))
    assert later.status is RunStatus.SUCCEEDED
    backup.restore()
    answer = command("runs", "list", "--json")
    assert [(one["id"], one["status"]) for one in answer.json] == [(lost.id, "running")]
    assert later.id in answer.err
    assert command("sync", "Our code").code == 8


def test_who_restored_it_may_confirm_it_before_anybody_has_looked(drivers, command):
    assert service.look_back(drivers) is None
    moved(drivers)
    assert "copied or restored into another" in command("workers", "resume").err
    assert service.look_back(drivers) is None


READING = [
    ("runs", "list"),
    ("runs", "show", "{run}"),
    ("runs", "explain", "{run}"),
    ("runs", "logs", "{run}"),
    ("plan", "Our code"),
    ("state", "Our code"),
    ("state", "Our code", "reset", "--yes"),
    ("workers", "list"),
]


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_reading_a_restored_database_stays_reading_and_says_what_to_call(drivers, ready, command, words):
    run = lost_run(drivers, ready)
    moved(drivers)
    answer = command(*(word.format(run=run.id) for word in words))
    assert answer.code == 0, answer.err
    assert answer.err.count("orchestrator workers resume") == 1
    assert service.find(drivers, ready.org_id, run.id).status is RunStatus.RUNNING
    service.resume(drivers)
    again = command("runs", "list", "--json")
    assert [one["status"] for one in again.json] == ["failed"]
    assert "workers resume" not in again.err


ACTING = [
    ("sync", "Our code"),
    ("sync", "Our code", "--dry-run"),
    ("backfill", "Our code", "--from", "2024-01-01"),
    ("runs", "retry", "{run}"),
    ("runs", "discard", "{run}"),
    ("runs", "prune", "--older-than", "90d", "--yes"),
]


@pytest.mark.parametrize("words", ACTING, ids=lambda words: " ".join(words[:3]))
def test_nothing_is_begun_in_a_restored_database(drivers, ready, command, meltano, words):
    run = service.execute(drivers, ready, service.request(drivers, ready))
    moved(drivers)
    before, meltano.act = list_ids(drivers, ready), pytest.fail
    answer = command(*(word.format(run=run.id) for word in words), "--json")
    assert answer.code == 8
    error = json.loads(answer.err.splitlines()[-1])["error"]
    assert error["code"] == "unconfirmed_database"
    assert "orchestrator workers resume" in error["hint"]
    assert list_ids(drivers, ready) == before


def test_what_is_left_to_workers_waits_for_the_word_of_a_person(drivers, ready, command):
    service.look_back(drivers)
    moved(drivers)
    answer = command("sync", "Our code", "--detach")
    assert answer.code == 0
    assert "orchestrator workers resume" in answer.err
    assert "orchestrator worker\n" not in answer.err
    join(drivers)
    assert (service.dispatch(drivers), handed(drivers)) == (0, {})


def list_ids(drivers, ready):
    return [one.id for one in service.listing(drivers, ready.org_id)]


def join_again(drivers):
    """The worker's row may have come back with the backup."""
    service.leave(drivers)
    join(drivers)
