"""A loader that loses records and ends with 0 all the same: partial, with the difference."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.domains.integrations.types import Integration
from tests.e2e.installation import Installation

LOSING = """#!{python}
import sys
from target_postgres.sinks import PostgresSink
from target_postgres.target import TargetPostgres

keep = PostgresSink.preprocess_record

class Losing(TargetPostgres):
    seen = 0

    def _process_record_message(self, message):
        Losing.seen += 1
        if Losing.seen % 100:
            super()._process_record_message(message)

if __name__ == "__main__":
    sys.exit(Losing.cli())
"""


@pytest.fixture
def losing(installation: Installation) -> Iterator[None]:
    """The loader's program in the plugin environment, losing every hundredth record."""
    [program] = (installation.home / "plugins").glob("target-postgres--*/bin/target-postgres")
    kept = program.with_name("target-postgres.kept")
    shutil.copy2(program, kept)
    first = program.read_text(encoding="utf-8")
    python = Path(program.with_name("python"))
    program.write_text(LOSING.format(python=python), encoding="utf-8")
    yield
    assert first
    kept.replace(program)


@pytest.mark.usefixtures("losing")
def test_lost_records_make_the_run_partial_and_the_difference_is_said(
    installation: Installation, salesforce: Integration
) -> None:
    done = installation.run("sync", salesforce.id, "--stream", "Account", "--json")
    assert done.code == 9, done.err
    [account] = done.json["streams"]
    assert (account["read"], account["written"]) == (400, 396)
    assert done.json["status"] == "partial"
    assert "Account: 400 read, 396 written" in done.error["message"]
