"""The Singer SDK's own test suite for targets, in both formats."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from duckdesk import Desk
from singer_sdk.testing import get_target_test_class

from target_duckdb.target import TargetDuckDB

# The suite takes its configuration while tests are collected; a folder is there only later, and goes in then.
CONFIG: dict[str, Any] = {"path": "later", "batch_size_rows": 2}
Suite = get_target_test_class(TargetDuckDB, config=CONFIG)


@pytest.mark.parametrize("format_", ["duckdb", "parquet"])
class TestSuite(Suite):
    """Every test of the suite."""

    @pytest.fixture(autouse=True)
    def _place(self, desk: Desk, format_: str, runner) -> Iterator[None]:
        CONFIG.update(path=str(desk.folder / "place"), format=format_)
        yield
        if runner._input is not None:  # which the SDK leaves open
            runner._input.close()


def test_the_command_tells_about_itself(capsys: pytest.CaptureFixture[str]) -> None:
    TargetDuckDB.print_about("json")
    told = json.loads(capsys.readouterr().out)
    assert told["settings"]["required"] == ["path"]
    assert {"batch", "hard-delete", "target-schema"} <= set(told["capabilities"])
