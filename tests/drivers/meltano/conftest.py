"""Small real plugins, and a Meltano driver whose run directories the test can look into."""

import sys
from pathlib import Path

import pytest

from orchestrator.drivers.meltano.runner import Meltano
from orchestrator.drivers.meltano.values import Plugin, Side

PLUGINS = Path(__file__).parents[2] / "fixtures" / "plugins"


def program(folder: Path, name: str) -> Path:
    """A program that runs one of the fixture plugins."""
    path = folder / name
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{PLUGINS / name}_fixture.py" "$@"\n')
    path.chmod(0o755)
    return path


@pytest.fixture
def tap(tmp_path):
    executable = program(tmp_path, "tap")

    def make(**config):
        capabilities = ("catalog", "discover", "state")
        return Plugin(
            side=Side.EXTRACTOR, name="tap-fixture", executable=executable, config=config, capabilities=capabilities
        )

    return make


@pytest.fixture
def target(tmp_path):
    executable = program(tmp_path, "target")
    folder = tmp_path / "loaded"
    folder.mkdir()

    def make(**config):
        return Plugin(
            side=Side.LOADER, name="target-fixture", executable=executable, config={"folder": str(folder), **config}
        )

    return make


@pytest.fixture
def runs(tmp_path):
    return tmp_path / "runs"


@pytest.fixture
def meltano(tmp_path, runs):
    return Meltano(home=tmp_path / "home", runs=runs)
