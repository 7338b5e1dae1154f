"""The Singer SDK's own test suite for targets."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from singer_sdk.testing import get_target_test_class

from target_jsonl.target import TargetJsonl

# The suite asks for the configuration while tests are collected, so this folder lives as long as the module.
FOLDER = tempfile.TemporaryDirectory(prefix="target-jsonl-")


@pytest.fixture(scope="module", autouse=True)
def removed() -> Iterator[None]:
    yield
    FOLDER.cleanup()


TestBySuite = get_target_test_class(TargetJsonl, config={"destination_path": str(Path(FOLDER.name) / "out")})
