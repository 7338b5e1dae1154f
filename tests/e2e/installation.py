"""An installation as its operator sees it: a home, an environment, and the real `orchestrator` command as a process."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil

from orchestrator.domains.identity import service as identity
from orchestrator.domains.integrations import queries as integration_queries
from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.types import Integration, NewIntegration
from orchestrator.domains.runs import service as runs
from orchestrator.domains.runs.types import Run
from orchestrator.drivers.bundle import Drivers
from orchestrator.drivers.meltano.directory import root_in
from orchestrator.entry import installing
from orchestrator.kernel import environment

ROOT = Path(__file__).parents[2]
PATIENCE = 120.0  # seconds before something awaited counts as never coming

T = TypeVar("T")


def eventually(look: Callable[[], T | None], what: str, *, within: float = PATIENCE) -> T:
    """What `look` answers as soon as it answers something; fails with `what` where it never does."""
    until = time.monotonic() + within
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < until, f"not within {within:.0f} s: {what}"
        time.sleep(0.02)


@dataclass(frozen=True, kw_only=True)
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed with --json."""
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        """The error document a command with --json ends with."""
        return dict(json.loads(self.err.strip().splitlines()[-1])["error"])


class Running:
    """A command under way, in a process group of its own as a shell would start it."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self._said: dict[str, list[str]] = {"out": [], "err": []}
        self._threads = [
            threading.Thread(target=self._take, args=(name, pipe), daemon=True)
            for name, pipe in (("out", process.stdout), ("err", process.stderr))
        ]
        for thread in self._threads:
            thread.start()

    def _take(self, name: str, pipe: Any) -> None:
        for line in pipe:
            self._said[name].append(line)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def err(self) -> str:
        """What it said on stderr until now."""
        return "".join(self._said["err"])

    def interrupt(self, number: int = signal.SIGINT) -> None:
        """What Ctrl-C does: the signal for the whole process group."""
        os.killpg(self.process.pid, number)

    def kill(self) -> None:
        self.process.kill()

    def end(self, within: float = PATIENCE) -> Done:
        """Wait for its end."""
        code = self.process.wait(within)
        for thread in self._threads:
            thread.join(PATIENCE)
        return Done(code=code, out="".join(self._said["out"]), err=self.err)

    def close(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        for thread in self._threads:
            thread.join(5)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()


@dataclass(kw_only=True)
class Installation:
    """One ORCHESTRATOR_HOME and everything started in it."""

    home: Path
    runs: Path
    extra: Mapping[str, str] = field(default_factory=dict)
    prefix: Sequence[str] = ()  # what starts the command, such as `ip netns exec`
    module: str = "orchestrator"
    _started: list[Running] = field(default_factory=list)

    @property
    def runs_root(self) -> Path:
        """Where in `runs` they are made."""
        return root_in(self.runs)

    @property
    def environment(self) -> dict[str, str]:
        """The operator's environment; nothing of the developer's own settings."""
        kept = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH", "UV_CACHE_DIR", "XDG_CACHE_HOME")
        return {
            **{name: os.environ[name] for name in kept if name in os.environ},
            "ORCHESTRATOR_HOME": str(self.home),
            "ORCHESTRATOR_RUNS__DIRECTORY": str(self.runs),
            "ORCHESTRATOR_NETWORK__ALLOW_PRIVATE": "true",
            "ORCHESTRATOR_ENV_FILE": str(self.home / "no.env"),
            **self.extra,
        }

    # Commands

    def start(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Running:
        """Start a command and go on."""
        process = subprocess.Popen(
            (*self.prefix, sys.executable, "-m", self.module, *arguments),
            cwd=ROOT,
            env={**self.environment, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        running = Running(process)
        self._started.append(running)
        return running

    def run(self, *arguments: str, within: float = 180.0, environment: Mapping[str, str] | None = None) -> Done:
        """Run a command to its end. No command of ours ever shows a person a traceback."""
        done = self.start(*arguments, environment=environment).end(within)
        assert "Traceback" not in done.err, done.err
        return done

    def close(self) -> None:
        for running in self._started:
            running.close()
        self._started.clear()

    # What is there

    @contextmanager
    def drivers(self) -> Iterator[Drivers]:
        """The product's own drivers in this process, to prepare and to look."""
        drivers = Drivers(settings=environment.load(self.environment))
        try:
            yield drivers
        finally:
            drivers.close()

    def install(self) -> None:
        with self.drivers() as drivers:
            installing.install(drivers)

    def add(
        self,
        name: str,
        values: Mapping[str, Any],
        streams: Sequence[str],
        *,
        like: Integration | None = None,
        destination: str = "warehouse",
    ) -> Integration:
        """An integration, connected and with its streams chosen; `like` spares the discovery of the same org."""
        with self.drivers() as drivers:
            place = identity.find(drivers.db, "default")
            new = NewIntegration(type="salesforce", name=name, values=dict(values), destination=destination)
            made = integrations.add(drivers, place, new)
            made = integrations.connect(drivers, made)
            if like is None:
                integrations.discover(drivers, made)
            else:
                known = {one.name: (one.mode, one.entry, False) for one in integrations.streams(drivers, like)}
                with drivers.db.transaction(made.org_id) as tx:
                    integration_queries.save_streams(tx, made.org_id, made.id, known)
            integrations.choose(drivers, made, ["*"], selected=False)
            integrations.choose(drivers, made, list(streams), selected=True)
            return made

    def latest(self, integration: Integration) -> Run:
        """Its newest run as the database has it, whoever may have died."""
        with self.drivers() as drivers:
            return runs.listing(drivers, integration.org_id, integration_id=integration.id, limit=1)[0]

    def counts(self, integration: Integration) -> dict[str, tuple[int, int]]:
        """stream → (read, written) of its newest run."""
        with self.drivers() as drivers:
            newest = runs.listing(drivers, integration.org_id, integration_id=integration.id, limit=1)
            found = runs.counts(drivers, newest[0]) if newest else ()
            return {one.stream: (one.read, one.written) for one in found}

    def processes(self) -> dict[int, str]:
        """Every living process of this installation's runs, whoever its parent is: pid → what it is."""
        return {pid: kind for pid, (kind, _) in processes_under(self.runs_root).items()}

    def the_process(self, kind: str) -> int:
        """The one process of this kind."""
        return eventually(
            lambda: next((pid for pid, found in self.processes().items() if found == kind), None),
            f"a process of {kind}",
        )

    def directories(self) -> list[Path]:
        """Run directories that are there, and what is left of such."""
        return sorted(path for kind in ("run-*", "dead-*") for path in self.runs_root.glob(kind))

    def assert_nothing_left(self, *, within: float = 30.0) -> None:
        """No process and no file of any run."""
        eventually(lambda: not self.processes(), f"the end of {self.processes()}", within=within)
        eventually(lambda: not self.directories(), f"the removal of {self.directories()}", within=within)


def processes_under(runs: Path) -> dict[int, tuple[str, str]]:
    """Every living process of a run that has its directory here: pid → what it is, and the directory's name.

    A directory that nobody locks any more is renamed before it is removed; who works in it is seen all the same.
    """
    mark = re.compile(f"{re.escape(str(runs))}/((?:run|dead)-[0-9a-f]+)")
    found = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            words = process.cmdline()
            if at := mark.search("\n".join([*words, *process.environ().values(), _folder(process)])):
                found[process.pid] = (kind_of(process), at[1])
    return found


def _folder(process: psutil.Process) -> str:
    """Where it works; nothing where that is longer than Linux tells, which no run's directory is."""
    try:
        return process.cwd()
    except OSError:
        return ""


def kind_of(process: psutil.Process) -> str:
    """What it is just now; it may become something else at any moment. Raises psutil.Error once it is gone."""
    words = process.cmdline()
    for kind, ending in (("tap", "/bin/tap-salesforce"), ("target", "/bin/target-postgres-copy")):
        if any(word.endswith(ending) for word in words[:2]):
            return kind
    if process.name() == "meltano" or any(word.endswith("/meltano") for word in words[:4]):
        return "meltano"
    return "supervisor" if any(word.endswith("/supervise.py") for word in words[:5]) else "other"
