"""Master keys for tests: a key file of the test's own."""

from pathlib import Path

import pytest

from orchestrator.drivers import keys as key_files
from orchestrator.drivers.keys import KeyRing


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys" / "master.key"
    key_files.create_key_file(path)
    return path


@pytest.fixture
def keys(key_file: Path) -> KeyRing:
    return KeyRing.load(None, key_file)
