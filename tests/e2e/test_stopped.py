"""Stopping a sync: by Ctrl-C, by SIGTERM, from another terminal, by its time. Everything ends, and it is said so."""

import signal

import pytest

from orchestrator.domains.integrations.types import Integration
from orchestrator.domains.runs.types import RunStatus
from sandboxes.salesforce import LocalOrg
from tests.e2e.installation import Installation
from tests.e2e.syncing import under_way


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_to_the_terminals_processes_cancels_the_run(
    installation: Installation, file_by_file: Integration, org: LocalOrg, number: signal.Signals, code: int
) -> None:
    running = under_way(installation, file_by_file, org)
    running.interrupt(number)
    done = running.end()
    installation.assert_nothing_left()
    assert done.code == code, done.err
    assert "Traceback" not in done.err
    assert "Stopping" in done.err
    assert installation.latest(file_by_file).status is RunStatus.CANCELLED


def test_a_second_ctrl_c_ends_at_once_and_still_leaves_nothing(
    installation: Installation, file_by_file: Integration, org: LocalOrg
) -> None:
    running = under_way(installation, file_by_file, org)
    running.interrupt()
    running.interrupt()
    done = running.end()
    installation.assert_nothing_left()
    assert done.code == 130, done.err
    assert "Traceback" not in done.err
    assert installation.latest(file_by_file).status is RunStatus.CANCELLED


def test_another_terminal_cancels_it_within_seconds(
    installation: Installation, file_by_file: Integration, org: LocalOrg
) -> None:
    running = under_way(installation, file_by_file, org)
    run = installation.latest(file_by_file)
    asked = installation.run("runs", "cancel", run.id, "--json")
    assert asked.code == 0, asked.err
    assert asked.json["status"] == "cancelling"
    done = running.end(within=30)
    installation.assert_nothing_left()
    assert done.code == 130, done.err
    assert installation.latest(file_by_file).status is RunStatus.CANCELLED
    again = installation.run("runs", "cancel", run.id, "--json")
    assert again.code == 5
    assert again.error["code"] == "run_ended"


def test_a_run_ends_when_its_time_is_over(installation: Installation, salesforce: Integration, org: LocalOrg) -> None:
    org.rows_per_second = 10.0
    done = installation.run("sync", salesforce.id, "--timeout", "3s")
    installation.assert_nothing_left()
    assert done.code == 124, done.err
    assert "longer than 3 s and was stopped" in done.err
    assert installation.latest(salesforce).status is RunStatus.TIMED_OUT
