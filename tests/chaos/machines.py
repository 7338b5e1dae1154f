"""Machines as far as one machine can stand in for them: a home, a disk, a way to Postgres, and a worker, each its own."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy.engine import URL

from orchestrator.drivers.embedded_postgres import ServerAddress
from orchestrator.kernel.db import normalised
from tests.e2e.installation import Installation, Running, eventually, processes_under
from tests.fixtures.forwarder import Forwarder

LEASE, HEARTBEAT = 5, 1  # seconds
PACE = {
    "ORCHESTRATOR_RUNS__LEASE": f"{LEASE}s",
    "ORCHESTRATOR_RUNS__HEARTBEAT": f"{HEARTBEAT}s",
    "ORCHESTRATOR_RUNS__STOP_GRACE": "2s",
    "ORCHESTRATOR_QUEUE__ATTEMPTS": "20",
    "ORCHESTRATOR_QUEUE__BACKOFF": "1s",
}


def at(server: ServerAddress, host: str, port: int) -> URL:
    """The control plane's address where the server is reached by TCP."""
    return normalised(server.url("orchestrator")).set(drivername="postgresql", host=host, port=port, query={})


@dataclass(kw_only=True)
class Machine:
    """One machine. way: what is between it and Postgres."""

    name: str
    installation: Installation
    way: Forwarder | None = None
    worker: Running | None = None
    names: list[str] = field(default_factory=list)

    @property
    def runs(self) -> Path:
        """Where its run directories are."""
        return self.installation.runs_root

    @property
    def disk(self) -> Path:
        """The disk that these are on, and nothing else."""
        return self.installation.runs

    def work(self, *arguments: str, module: str = "orchestrator") -> None:
        """Start a worker that does one run at a time, unless there is one that lives."""
        if self.worker is not None and self.worker.process.poll() is None:
            return
        self.installation.module = module
        self.worker = self.installation.start(*arguments, "worker", "--concurrency", "1")

    def awake(self) -> None:
        """Wait until the worker has joined; remember its name."""
        worker = self.worker
        assert worker is not None

        def name() -> str | None:
            assert worker.process.poll() is None, worker.err
            return next(
                (line.split()[1].rstrip(",") for line in worker.err.splitlines() if line.startswith("Worker ")), None
            )

        found = eventually(name, f"a worker on {self.name}")
        if found not in self.names:
            self.names.append(found)

    def processes(self) -> dict[int, tuple[str, str]]:
        """The processes of its runs: pid → what it is, and its run directory's name."""
        return processes_under(self.runs)

    @property
    def said(self) -> str:
        """What its worker said."""
        return self.worker.err if self.worker else ""

    def signal(self, number: int) -> None:
        """Send its worker a signal."""
        if self.worker is not None:
            with suppress(ProcessLookupError):
                self.worker.process.send_signal(number)

    def kill(self) -> None:
        """kill -9 of its worker."""
        self.signal(signal.SIGKILL)
        if self.worker is not None:
            self.worker.end()

    def close(self) -> None:
        """End whatever is left of it."""
        self.installation.close()
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def machine(
    name: str,
    folder: Path,
    *,
    runs: Path,
    plugins: Path,
    key: Path,
    warehouse: SecretStr,
    database: URL,
    prefix: Sequence[str] = (),
    more: Mapping[str, str] | None = None,
) -> Machine:
    """A machine that knows the installation by its addresses and its master key only."""
    home = folder / name
    home.mkdir(mode=0o700)
    (home / "plugins").symlink_to(plugins)
    shutil.copy(key, home / "master.key")
    addresses = {
        "DATABASE_URL": database.render_as_string(hide_password=False),
        "WAREHOUSE_URL": warehouse.get_secret_value(),
    }
    extra = {**PACE, **addresses, **(more or {})}
    return Machine(name=name, installation=Installation(home=home, runs=runs, extra=extra, prefix=prefix))


@contextmanager
def own_disk(place: Path, *, size: str, mode: str = "0700") -> Iterator[bool]:
    """A file system of its own at `place`, where that is allowed; whether it is."""
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    mount = ("mount", "-t", "tmpfs", "-o", f"size={size},mode={mode}", "tmpfs", str(place))
    mounted = (
        shutil.which("mount") is not None and not subprocess.run(mount, check=False, capture_output=True).returncode
    )
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(("umount", "-l", str(place)), check=True)


@contextmanager
def full(place: Path) -> Iterator[None]:
    """No space left at `place`, for as long as the block takes."""
    filling = place / "filling"
    file = os.open(filling, os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        size = 0
        for step in (64 * 1024 * 1024, 1024 * 1024, 4096):
            with suppress(OSError):
                while True:
                    os.posix_fallocate(file, size, step)
                    size += step
        yield
    finally:
        os.close(file)
        filling.unlink()
