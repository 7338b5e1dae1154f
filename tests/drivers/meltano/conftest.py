"""Small real plugins, and a Meltano driver whose run directories the test can look into."""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from orchestrator.drivers.meltano import process
from orchestrator.drivers.meltano.runner import Meltano
from orchestrator.drivers.meltano.values import Plugin, Side

SCRIPTS = ("supervise", "family", "namespaces", "removal", "launcher", "landlock", "relay", "seccomp", "sieve",
           "usage")  # fmt: skip
PLUGINS = Path(__file__).parents[2] / "fixtures" / "plugins"


def program(folder: Path, name: str, python: str = sys.executable) -> Path:
    """A program that runs one of the fixture plugins, in an environment of its own."""
    environment = folder / f"{name}-environment"
    path = environment / "bin" / name
    path.parent.mkdir(parents=True)
    (path.parent / "python").symlink_to(Path(python).resolve())
    shutil.copy(PLUGINS / f"{name}_fixture.py", environment)
    path.write_text(f'#!/bin/sh\nexec "{path.parent}/python" -I -S "{environment / name}_fixture.py" "$@"\n')
    path.chmod(0o755)
    return path


def described(**said: Any) -> str:
    """What the launcher reads of a plugin: a value or several for each name."""
    each = (
        (name, value) for name, values in said.items() for value in ([values] if isinstance(values, str) else values)
    )
    return "".join(f"{name}\0{value}\0" for name, value in each)


def writable(config: dict[str, Any]) -> tuple[Path, ...]:
    """The folders that a fixture plugin is told to write to."""
    files = (Path(config[name]).parent for name in ("daemon", "discovery_daemon") if name in config)
    return (*files, *(Path(config[name]) for name in ("copy_to", "folder") if name in config))


@pytest.fixture(scope="session")
def scripts():
    """The folder of our scripts that isolated interpreters run, where any user may read them."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        there = Path(folder, "orchestrator/drivers/meltano")
        there.mkdir(parents=True)
        for name in SCRIPTS:
            shutil.copy(Path(process.__file__).with_name(f"{name}.py"), there)
        yield there


@pytest.fixture
def tap(tmp_path):
    executable = program(tmp_path, "tap")

    def make(**config):
        capabilities = ("catalog", "discover", "state")
        return Plugin(
            side=Side.EXTRACTOR,
            name="tap-fixture",
            executable=executable,
            config=config,
            capabilities=capabilities,
            writable=writable(config),
        )

    return make


@pytest.fixture
def target(tmp_path):
    executable = program(tmp_path, "target")
    folder = tmp_path / "loaded"
    folder.mkdir()

    def make(**config):
        full = {"folder": str(folder), **config}
        return Plugin(
            side=Side.LOADER, name="target-fixture", executable=executable, config=full, writable=writable(full)
        )

    return make


@pytest.fixture
def runs(tmp_path):
    return tmp_path / "runs"


@pytest.fixture
def meltano(tmp_path, runs):
    return Meltano(home=tmp_path / "home", runs=runs)
