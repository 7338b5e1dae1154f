"""The Singer SDK's own test suite for targets, by each load method."""

import json
from collections.abc import Iterator

import pytest
from copydesk import Warehouse, config
from singer_sdk.testing import get_target_test_class

from target_postgres_copy.target import TargetPostgresCopy

# The suite takes its configuration while tests are collected; a Postgres is there only later, and goes in then.
CONFIG: dict = {"sqlalchemy_url": "postgresql://later/", "batch_size_rows": 2}
Suite = get_target_test_class(TargetPostgresCopy, config=CONFIG)


@pytest.mark.parametrize("method", ["upsert", "append-only", "overwrite"])
class TestSuite(Suite):
    """Every test of the suite."""

    @pytest.fixture(autouse=True)
    def _warehouse(self, warehouse: Warehouse, method: str, runner) -> Iterator[None]:
        CONFIG.update(config(warehouse, load_method=method))
        yield
        if runner._input is not None:  # which the SDK leaves open
            runner._input.close()


def test_the_command_tells_about_itself(capsys: pytest.CaptureFixture[str]) -> None:
    TargetPostgresCopy.print_about("json")
    told = json.loads(capsys.readouterr().out)
    encoding = told["settings"]["properties"]["batch_config"]["properties"]["encoding"]["properties"]
    assert encoding["format"]["enum"] == ["csv", "jsonl", "parquet"]
    assert {"batch", "activate-version", "hard-delete", "target-schema"} <= set(told["capabilities"])
