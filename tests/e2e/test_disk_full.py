"""No space where runs have their files: said so, and the next sync is fine."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.domains.integrations.types import Integration
from orchestrator.domains.runs.types import RunStatus
from sandboxes.salesforce import LocalOrg
from tests.e2e.installation import Installation


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs", str(place))
    if shutil.which("mount") is None or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a small file system can't be mounted here; that needs root")
    yield place
    subprocess.run(("umount", "-l", str(place)), check=True)


@pytest.mark.parametrize(
    ("stream", "left"),
    [
        pytest.param("Account", 0, id="at the start"),
        pytest.param("Account", 100_000, id="in the middle"),
        pytest.param("Contact", 200_000, id="in the middle of a batch file"),
    ],
)
def test_a_full_disk_fails_the_run_with_its_reason_and_the_next_sync_is_fine(
    installation: Installation, salesforce: Integration, org: LocalOrg, small_disk: Path, stream: str, left: int
) -> None:
    free = shutil.disk_usage(small_disk).free
    (small_disk / "filling").write_bytes(b"x" * max(free - left, 0))
    there = {"ORCHESTRATOR_RUNS__DIRECTORY": str(small_disk)}
    done = installation.run("sync", salesforce.id, "--stream", stream, environment=there)
    assert done.code in {1, 75}, done.err
    assert "space" in done.err.lower()
    run = installation.latest(salesforce)
    assert run.status is RunStatus.FAILED
    assert run.failure is not None
    assert "space" in run.failure.message.lower()
    assert "ORCHESTRATOR_RUNS__DIRECTORY" in run.failure.hint
    assert not list(small_disk.glob("run-*"))
    assert installation.run("sync", salesforce.id, "--stream", stream).code == 0
