"""Runs that nobody watches: a worker does them, another goes on where the first one died or was asked to stop."""

import signal

from orchestrator.domains.integrations.types import Integration
from orchestrator.domains.runs import service as runs
from orchestrator.domains.runs.types import Run, RunStatus
from sandboxes.salesforce import LocalOrg
from tests.e2e.comparing import difference
from tests.e2e.conftest import FILE_ROWS
from tests.e2e.installation import Installation, Running, eventually
from tests.e2e.syncing import hold_back, wait_until_loaded


def detached(installation: Installation, salesforce: Integration) -> str:
    done = installation.run("sync", salesforce.id, "--stream", "Contact", "--detach", "--json")
    assert done.code == 0, done.err
    return str(done.json["id"])


def ended(installation: Installation, org_id: str, run_id: str) -> Run:
    with installation.drivers() as drivers:

        def look() -> Run | None:
            run = runs.find(drivers, org_id, run_id)
            return run if run.status.ended else None

        return eventually(look, "the end of the run")


def assert_everything_arrived(installation: Installation, salesforce: Integration, org: LocalOrg) -> None:
    with installation.drivers() as drivers:
        assert not difference(org, drivers.warehouse_url, salesforce.target_schema, "Contact")


def drained(worker: Running) -> None:
    worker.process.send_signal(signal.SIGTERM)
    assert_drained(worker)


def assert_drained(worker: Running) -> None:
    done = worker.end(within=150)
    assert done.code == 0, done.err
    assert "Traceback" not in done.err


def test_a_worker_does_what_waits_and_ends_when_asked(
    installation: Installation, salesforce: Integration, org: LocalOrg
) -> None:
    run_id = detached(installation, salesforce)
    waiting = installation.run("runs", "show", run_id, "--json").json
    assert (waiting["status"], waiting["waiting"]["reason"]) == ("queued", "no worker runs: orchestrator worker")
    worker = installation.start("worker", "--concurrency", "2")
    run = ended(installation, salesforce.org_id, run_id)
    assert (run.status, run.epoch) == (RunStatus.SUCCEEDED, 1)
    [listed] = installation.run("workers", "list", "--json").json
    assert (listed["alive"], listed["concurrency"], listed["busy"]) == (True, 2, 0)
    drained(worker)
    assert installation.run("workers", "list", "--json").json == []
    assert_everything_arrived(installation, salesforce, org)
    installation.assert_nothing_left()


def test_a_killed_worker_costs_nothing_but_time(
    installation: Installation, file_by_file: Integration, org: LocalOrg
) -> None:
    hold_back(org, after=FILE_ROWS)
    run_id = detached(installation, file_by_file)
    first = installation.start("worker")
    wait_until_loaded(installation, file_by_file, FILE_ROWS)
    first.kill()
    org.faults.clear()
    second = installation.start("worker")
    run = ended(installation, file_by_file.org_id, run_id)
    assert (run.status, run.epoch) == (RunStatus.SUCCEEDED, 2)
    drained(second)
    assert_everything_arrived(installation, file_by_file, org)
    installation.assert_nothing_left()


def test_a_worker_that_is_asked_to_stop_gives_its_run_back_and_the_run_does_not_fail(
    installation: Installation, file_by_file: Integration, org: LocalOrg
) -> None:
    hold_back(org, after=FILE_ROWS)
    run_id = detached(installation, file_by_file)
    first = installation.start("worker")
    wait_until_loaded(installation, file_by_file, FILE_ROWS)
    first.process.send_signal(signal.SIGTERM)
    eventually(lambda: "Draining" in first.err, "the signal is heard")
    org.rows_per_second = 100.0  # one file more, and state with it; the next would take half a minute
    org.faults.clear()
    assert_drained(first)
    given_back = installation.run("runs", "show", run_id, "--json").json
    assert (given_back["status"], given_back["failure"]) == ("retrying", None)
    installation.assert_nothing_left()
    org.rows_per_second = 0.0
    second = installation.start("worker")
    run = ended(installation, file_by_file.org_id, run_id)
    assert (run.status, run.epoch) == (RunStatus.SUCCEEDED, 2)
    drained(second)
    assert_everything_arrived(installation, file_by_file, org)


def test_a_worker_that_is_told_twice_ends_at_once_and_leaves_nothing(
    installation: Installation, file_by_file: Integration, org: LocalOrg
) -> None:
    hold_back(org, after=FILE_ROWS)
    run_id = detached(installation, file_by_file)
    worker = installation.start("worker")
    wait_until_loaded(installation, file_by_file, FILE_ROWS)
    worker.process.send_signal(signal.SIGTERM)
    eventually(lambda: "Draining" in worker.err, "the first signal is heard")
    worker.process.send_signal(signal.SIGINT)
    assert worker.end(within=30).code == -signal.SIGINT
    installation.assert_nothing_left()
    assert installation.run("runs", "cancel", run_id).code == 0


def test_a_cancelled_run_leaves_its_worker_working(
    installation: Installation, file_by_file: Integration, org: LocalOrg
) -> None:
    hold_back(org, after=FILE_ROWS)
    run_id = detached(installation, file_by_file)
    worker = installation.start("worker")
    wait_until_loaded(installation, file_by_file, FILE_ROWS)
    assert installation.run("runs", "cancel", run_id).code == 0
    assert ended(installation, file_by_file.org_id, run_id).status is RunStatus.CANCELLED
    org.faults.clear()
    again = detached(installation, file_by_file)
    assert ended(installation, file_by_file.org_id, again).status is RunStatus.SUCCEEDED
    drained(worker)
    assert_everything_arrived(installation, file_by_file, org)
