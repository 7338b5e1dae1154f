"""A session's own folder in memory, and the end of what sessions that were killed left in theirs."""

import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from orchestrator.drivers.meltano import directory

_NAME = re.compile(r"(?:e2e|chaos)-(\d+)-[0-9a-f]+")  # the number is the session's process


@contextmanager
def own_room(kind: str, *, mode: int = 0o700) -> Iterator[Path]:
    """A folder of this session alone, where runs usually are. kind: e2e or chaos."""
    memory = directory.default_root(Path("/tmp")).parent
    clear(memory)
    path = memory / f"{kind}-{os.getpid()}-{secrets.token_hex(3)}"
    path.mkdir(mode=mode)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def clear(memory: Path) -> None:
    """End commands, mounts and folders whose session is gone. Its Postgres ends by itself once no command holds it."""
    for path in memory.iterdir():
        if (name := _NAME.fullmatch(path.name)) and not psutil.pid_exists(int(name[1])):
            _end_commands(path)
            for place in _mounted(path):
                subprocess.run(("umount", "-l", place), check=False, capture_output=True)
            shutil.rmtree(path, ignore_errors=True)


def _end_commands(runs: Path) -> None:
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if Path(process.environ().get("ORCHESTRATOR_RUNS__DIRECTORY", "/")).is_relative_to(runs):
                process.kill()


def _mounted(below: Path) -> list[str]:
    with suppress(OSError):
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        return [place for place in mounts if Path(place).is_relative_to(below)]
    return []
