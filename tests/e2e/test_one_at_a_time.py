"""An integration syncs at most once at a time, whoever asks."""

from orchestrator.domains.integrations.types import Integration
from sandboxes.salesforce import LocalOrg
from tests.e2e.installation import Installation
from tests.e2e.syncing import under_way


def test_a_second_sync_is_told_which_one_runs_and_other_commands_leave_it_alone(
    installation: Installation, file_by_file: Integration, org: LocalOrg
) -> None:
    running = under_way(installation, file_by_file, org)
    run = installation.latest(file_by_file)
    second = installation.run("sync", file_by_file.id, "--json")
    assert second.code == 5
    assert second.error["code"] == "run_in_progress"
    assert run.id in second.error["message"]
    rolled = installation.run("state", file_by_file.id, "reset", "--yes", "--json")
    assert rolled.code == 5, rolled.out
    for command in (("runs", "list"), ("runs", "show", run.id), ("integrations", "list"), ("doctor",)):
        assert installation.run(*command, "--json").code == 0
    org.faults.clear()
    done = running.end()
    assert done.code == 0, done.err


def test_of_two_at_the_very_same_time_exactly_one_wins(installation: Installation, salesforce: Integration) -> None:
    both = [installation.start("sync", salesforce.id, "--stream", "Account", "--json") for _ in range(2)]
    done = [one.end() for one in both]
    assert sorted(one.code for one in done) == [0, 5], [one.err for one in done]
    [loser] = [one for one in done if one.code == 5]
    assert loser.error["code"] == "run_in_progress"
