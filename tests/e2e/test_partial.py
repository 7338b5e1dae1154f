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

loader = subprocess.Popen([{kept!r}, *sys.argv[1:]], stdin=subprocess.PIPE)
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
    """The loader's program in the plugin environment, losing every hundredth record and the second file."""
    [program] = (installation.home / "plugins").glob("target-postgres-copy--*/bin/target-postgres-copy")
    kept = program.with_name("target-postgres-copy.kept")
    shutil.copy2(program, kept)
    python = program.with_name("python")
    program.write_text(LOSING.format(python=python, kept=str(kept)), encoding="utf-8")
    yield
    kept.replace(program)


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
