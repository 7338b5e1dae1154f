"""A loader that loses records and ends with 0 all the same: partial, with the difference."""

import shutil
from collections.abc import Iterator

import pytest

from orchestrator.domains.integrations.types import Integration
from sandboxes.salesforce import LocalOrg
from tests.e2e.conftest import FILE_ROWS
from tests.e2e.installation import Installation

LOSING = """#!{python}
import subprocess
import sys

loader = subprocess.Popen([{python!r}, {kept!r}, *sys.argv[1:]], stdin=subprocess.PIPE)
records = files = 0
for line in sys.stdin.buffer:
    is_record, is_file = (b'"type":"%s"' % kind in line.replace(b" ", b"") for kind in (b"RECORD", b"BATCH"))
    records, files = records + is_record, files + is_file
    if not (is_record and records % 100 == 0 or is_file and files == 2):
        loader.stdin.write(line)
loader.stdin.close()
sys.exit(loader.wait())
"""


@pytest.fixture
def losing(installation: Installation) -> Iterator[None]:
    """A loader in an environment of this home's own, losing every hundredth record and the second file."""
    plugins, own = installation.home / "plugins", installation.home / "losing"
    good = plugins.resolve()
    own.mkdir()
    for place in good.iterdir():
        if place.is_dir() and place.name.startswith("target-postgres-copy--"):
            shutil.copytree(place, own / place.name, symlinks=True)
        else:
            (own / place.name).symlink_to(place)
    [program] = own.glob("target-postgres-copy--*/bin/target-postgres-copy")
    kept = program.rename(program.with_name("target-postgres-copy.kept"))
    python = program.with_name("python")
    program.write_text(LOSING.format(python=str(python), kept=str(kept)), encoding="utf-8")
    program.chmod(0o755)
    plugins.unlink()
    plugins.symlink_to(own)
    yield
    plugins.unlink()
    plugins.symlink_to(good)
    shutil.rmtree(own)


@pytest.mark.usefixtures("losing")
def test_lost_records_make_the_run_partial_and_the_difference_is_said(
    installation: Installation, salesforce: Integration, org: LocalOrg
) -> None:
    accounts = sum(org.count("Account").values())
    done = installation.run("sync", salesforce.id, "--stream", "Account", "--json")
    assert done.code == 9, done.err
    [account] = done.json["streams"]
    assert (account["read"], account["written"]) == (accounts, accounts - 4)
    assert done.json["status"] == "partial"
    assert f"Account: {accounts} read, {accounts - 4} written" in done.error["message"]


@pytest.mark.usefixtures("losing")
def test_a_lost_file_makes_the_run_partial_too(
    installation: Installation, salesforce: Integration, org: LocalOrg
) -> None:
    done = installation.run("sync", salesforce.id, "--json")
    assert done.code == 9, done.err
    [contact] = done.json["streams"]
    assert contact["read"] == sum(org.count("Contact").values())
    assert 0 < contact["read"] - contact["written"] <= FILE_ROWS
    assert f"Contact: {contact['read']:,} read, {contact['written']:,} written" in done.error["message"]
