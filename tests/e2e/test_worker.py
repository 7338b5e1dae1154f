"""Runs that nobody watches: a worker does them, another goes on where the first one died or was asked to stop."""

import signal
from collections.abc import Callable

from orchestrator.domains.integrations.types import Integration
from orchestrator.domains.runs import service as runs
from orchestrator.domains.runs.types import Run, RunStatus
from sandboxes.salesforce import LocalOrg
from tests.e2e.comparing import difference
from tests.e2e.conftest import FILE_ROWS
from tests.e2e.installation import Installation, Running, eventually

_SECONDS = 30.0  # that one page after the other would take the org, in the middle of which a worker is met


def detached(installation: Installation, salesforce: Integration) -> str:
    done = installation.run("sync", salesforce.id, "--stream", "Contact", "--detach", "--json")
    assert done.code == 0, done.err
    return str(done.json["id"])


def seen(installation: Installation, org_id: str, run_id: str, when: Callable[[Run, int], bool], what: str) -> Run:
    """The run as soon as it is so; `when` is told the run and how many records it has written."""
    with installation.drivers() as drivers:

        def look() -> Run | None:
            run = runs.find(drivers, org_id, run_id)
            return run if when(run, sum(one.written for one in runs.counts(drivers, run))) else None

        return eventually(look, what, within=180)


def ended(installation: Installation, org_id: str, run_id: str) -> Run:
    return seen(installation, org_id, run_id, lambda run, _: run.status.ended, "the end of the run")


def in_the_middle(installation: Installation, org_id: str, run_id: str) -> Run:
    def when(run: Run, written: int) -> bool:
        return run.status is RunStatus.RUNNING and written >= FILE_ROWS

    return seen(installation, org_id, run_id, when, "a run that has written records")


def assert_everything_arrived(installation: Installation, salesforce: Integration, org: LocalOrg) -> None:
    with installation.drivers() as drivers:
        assert not difference(org, drivers.warehouse_url, salesforce.target_schema, "Contact")


def drained(worker: Running) -> None:
    worker.process.send_signal(signal.SIGTERM)
    done = worker.end(within=90)
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
    installation: Installation, salesforce: Integration, org: LocalOrg
) -> None:
    org.rows_per_second = sum(org.count("Contact").values()) / _SECONDS
    run_id = detached(installation, salesforce)
    first = installation.start("worker")
    in_the_middle(installation, salesforce.org_id, run_id)
    first.kill()
    org.rows_per_second = 0.0
    second = installation.start("worker")
    run = ended(installation, salesforce.org_id, run_id)
    assert (run.status, run.epoch) == (RunStatus.SUCCEEDED, 2)
    drained(second)
    assert_everything_arrived(installation, salesforce, org)
    installation.assert_nothing_left()


def test_a_worker_that_is_asked_to_stop_gives_its_run_back_and_the_run_does_not_fail(
    installation: Installation, salesforce: Integration, org: LocalOrg
) -> None:
    org.rows_per_second = sum(org.count("Contact").values()) / _SECONDS
    run_id = detached(installation, salesforce)
    first = installation.start("worker")
    in_the_middle(installation, salesforce.org_id, run_id)
    drained(first)
    given_back = installation.run("runs", "show", run_id, "--json").json
    assert (given_back["status"], given_back["failure"]) == ("retrying", None)
    installation.assert_nothing_left()
    org.rows_per_second = 0.0
    second = installation.start("worker")
    run = ended(installation, salesforce.org_id, run_id)
    assert (run.status, run.epoch) == (RunStatus.SUCCEEDED, 2)
    drained(second)
    assert_everything_arrived(installation, salesforce, org)


def test_a_worker_that_is_told_twice_ends_at_once_and_leaves_nothing(
    installation: Installation, salesforce: Integration, org: LocalOrg
) -> None:
    org.rows_per_second = sum(org.count("Contact").values()) / _SECONDS
    run_id = detached(installation, salesforce)
    worker = installation.start("worker")
    in_the_middle(installation, salesforce.org_id, run_id)
    worker.process.send_signal(signal.SIGTERM)
    eventually(lambda: "Draining" in worker.err, "the first signal is heard")
    worker.process.send_signal(signal.SIGINT)
    assert worker.end(within=5).code == -signal.SIGINT
    installation.assert_nothing_left(within=15)
    assert installation.run("runs", "cancel", run_id).code == 0


def test_a_cancelled_run_leaves_its_worker_working(
    installation: Installation, salesforce: Integration, org: LocalOrg
) -> None:
    org.rows_per_second = sum(org.count("Contact").values()) / _SECONDS
    run_id = detached(installation, salesforce)
    worker = installation.start("worker")
    in_the_middle(installation, salesforce.org_id, run_id)
    assert installation.run("runs", "cancel", run_id).code == 0
    assert ended(installation, salesforce.org_id, run_id).status is RunStatus.CANCELLED
    org.rows_per_second = 0.0
    again = detached(installation, salesforce)
    assert ended(installation, salesforce.org_id, again).status is RunStatus.SUCCEEDED
    drained(worker)
    assert_everything_arrived(installation, salesforce, org)
