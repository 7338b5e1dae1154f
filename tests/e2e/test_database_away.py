"""The control plane dies in the middle of a run: a clear sentence, and never a run that stays running."""

import os
import signal
from pathlib import Path

from orchestrator.domains.runs.types import RunStatus
from sandboxes.salesforce import LocalOrg
from tests.e2e.comparing import difference
from tests.e2e.conftest import values_of
from tests.e2e.installation import Installation
from tests.e2e.syncing import under_way

IMPATIENT = {"ORCHESTRATOR_RUNS__LEASE": "4s", "ORCHESTRATOR_RUNS__HEARTBEAT": "1s"}


def kill_postgres(home: Path) -> None:
    """kill -9 of the server's main process; nobody starts another until a command needs it."""
    [pid_file] = home.rglob("postmaster.pid")
    os.kill(int(pid_file.read_text().split()[0]), signal.SIGKILL)


def test_a_database_that_stays_away_ends_the_command_with_a_sentence_and_the_run_at_the_next_start(
    own_home: Installation, org: LocalOrg
) -> None:
    made = own_home.add("stays away", values_of(org, max_workers=1), ["Contact"])
    own_home.extra = IMPATIENT
    running = under_way(own_home, made, org)
    run = own_home.latest(made)
    kill_postgres(own_home.home)
    done = running.end(within=120)
    assert "Traceback" not in done.err
    assert done.code == 75, done.err
    assert "Error: The control-plane database can't be reached" in done.err
    own_home.assert_nothing_left()
    shown = own_home.run("runs", "show", run.id, "--json")
    assert (shown.json["status"], shown.json["failure"]["kind"]) == ("failed", "worker_lost")
    org.faults.clear()
    assert own_home.run("sync", made.id).code == 0
    with own_home.drivers() as drivers:
        assert not difference(org, drivers.warehouse_url, made.target_schema, "Contact")


def test_a_database_that_comes_back_gets_the_runs_end(own_home: Installation, org: LocalOrg) -> None:
    made = own_home.add("comes back", values_of(org, max_workers=1), ["Contact"])
    own_home.extra = {}
    running = under_way(own_home, made, org)
    kill_postgres(own_home.home)
    assert own_home.run("runs", "list").code == 0
    org.faults.clear()
    done = running.end(within=120)
    assert "Traceback" not in done.err
    own_home.assert_nothing_left()
    run = own_home.latest(made)
    assert run.status in {RunStatus.SUCCEEDED, RunStatus.FAILED}, "either is true, depending on who was writing"
    if run.status is RunStatus.FAILED:
        assert run.failure is not None
        assert run.failure.message in done.err
        assert own_home.run("sync", made.id).code == 0
    with own_home.drivers() as drivers:
        assert not difference(org, drivers.warehouse_url, made.target_schema, "Contact")
