"""kill -9 of anything, in the middle of a large stream: said at once, nothing left, and the next sync goes on."""

import os
import signal
from collections.abc import Callable

import pytest

from orchestrator.domains.integrations.types import Integration
from orchestrator.domains.runs.types import FailureKind, RunStatus
from sandboxes.salesforce import LocalOrg
from tests.e2e.comparing import difference
from tests.e2e.conftest import FILE_ROWS
from tests.e2e.installation import Installation
from tests.e2e.syncing import under_way

MUCH = 100_000  # records from which on a few seconds' work is a small part of a stream


def completed(installation: Installation, file_by_file: Integration, org: LocalOrg) -> float:
    """Sync again and compare; the share of all records that had to be read."""
    org.faults.clear()
    done = installation.run("sync", file_by_file.id, "--json", within=900)
    assert done.code == 0, done.err
    [count] = done.json["streams"]
    with installation.drivers() as drivers:
        assert not difference(org, drivers.warehouse_url, file_by_file.target_schema, "Contact")
    return float(count["read"]) / sum(org.count("Contact").values())


def test_a_killed_orchestrator_is_seen_at_once_leaves_nothing_and_the_next_sync_goes_on(
    installation: Installation,
    file_by_file: Integration,
    org: LocalOrg,
    rows: int,
    record_testsuite_property: Callable[..., None],
) -> None:
    running = under_way(installation, file_by_file, org, written=rows // 3)
    assert set(installation.processes().values()) >= {"meltano", "tap", "target", "supervisor"}
    running.kill()
    listed = installation.run("runs", "list", "--integration", file_by_file.id, "--json")
    [run] = listed.json
    assert (run["status"], run["failure"]["kind"]) == ("failed", "worker_lost")
    installation.assert_nothing_left()
    share = completed(installation, file_by_file, org)
    record_testsuite_property("read again", f"{share:.1%} of {rows:,}")
    assert 0 < share < (0.6 if rows >= MUCH else 0.8)


@pytest.mark.parametrize(
    ("victim", "failed"),
    [
        ("meltano", (FailureKind.INTERNAL, "Meltano was killed", 75)),
        ("tap", (FailureKind.SOURCE_ERROR, "The extractor was killed", 1)),
        ("target", (FailureKind.DESTINATION_ERROR, "The loader ", 1)),
    ],
)
def test_a_killed_part_fails_the_run_and_the_next_sync_goes_on(
    installation: Installation,
    file_by_file: Integration,
    org: LocalOrg,
    victim: str,
    failed: tuple[FailureKind, str, int],
) -> None:
    running = under_way(installation, file_by_file, org, written=FILE_ROWS)
    os.kill(installation.the_process(victim), signal.SIGKILL)
    done = running.end()
    kind, who, code = failed
    assert done.code == code
    assert "Traceback" not in done.err
    run = installation.latest(file_by_file)
    assert run.status is RunStatus.FAILED
    assert run.failure is not None
    assert run.failure.kind is kind
    assert run.failure.message.startswith(who)
    assert run.failure.message in done.err
    installation.assert_nothing_left()
    assert 0 < completed(installation, file_by_file, org) < 1
