"""What programs that are piped into each other take: wall clock, CPU of each one's tree, memory of all of them.

CPU is that of each program and every descendant that was waited for (wait4). Memory is looked at ten times a second:
the resident sets of all processes added up, which counts shared pages several times, and the largest of them, for
which the kernel keeps the peak itself.
"""

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.lab.stopwatch import ProgramFailedError

_LOOK_EVERY = 0.1  # seconds
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One program of a chain.

    name:   what it is called in the figures
    cwd:    where it is started
    stdin:  what the first of a chain reads
    """

    name: str
    argv: Sequence[str | Path]
    env: Mapping[str, str]
    cwd: Path | None = None
    stdin: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one run of a chain took.

    wall:          seconds from the first program's start to the last one's end
    cpu:           seconds of each program with its descendants, by name
    server_cpu:    seconds of the processes watched beside it, by name
    rss:           MB (2^20 bytes), all processes together, at most
    rss_largest:   MB, of the largest process
    stdout:        of the last program
    """

    wall: float
    cpu: Mapping[str, float]
    server_cpu: Mapping[str, float]
    rss: float
    rss_largest: float
    stdout: bytes

    @property
    def cpu_all(self) -> float:
        """Seconds of all programs of the chain."""
        return sum(self.cpu.values())


def run(
    chain: Sequence[Program], *, servers: Mapping[str, int] | None = None, meanwhile: Callable[[], None] | None = None
) -> Cost:
    """Start the programs, each reading what the one before writes, and wait for all. Raises ProgramFailedError.

    servers:    pids whose trees' CPU is told apart: the server's and the source's
    meanwhile:  called once all are started
    """
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryDirectory() as folder:
        errors = [Path(folder) / str(at) for at in range(len(chain))]
        before = {name: tree_cpu(pid) for name, pid in (servers or {}).items()}
        started = time.perf_counter()
        processes = list(_started(chain, errors, stdout.fileno()))
        watch = _Watch([process.pid for process in processes])
        if meanwhile is not None:
            meanwhile()
        cpu: dict[str, float] = {}
        statuses = []
        for program, process in zip(chain, processes, strict=True):
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            statuses.append(process.returncode)
            cpu[program.name] = cpu.get(program.name, 0.0) + usage.ru_utime + usage.ru_stime
        wall = time.perf_counter() - started
        watch.stop()
        after = {name: tree_cpu(pid) for name, pid in (servers or {}).items()}
        for program, status, error in zip(chain, statuses, errors, strict=True):
            if status:
                said = error.read_text(errors="replace").strip().splitlines()[-20:]
                raise ProgramFailedError(f"{program.name} ended with status {status}:\n" + "\n".join(said))
        stdout.seek(0)
        return Cost(
            wall=wall,
            cpu=cpu,
            server_cpu={name: after[name] - before[name] for name in before},
            rss=max(watch.peak, watch.largest),
            rss_largest=watch.largest,
            stdout=stdout.read(),
        )


def _started(chain: Sequence[Program], errors: Sequence[Path], stdout: int) -> Iterator[subprocess.Popen[bytes]]:
    first = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the first program reads
    first.write(chain[0].stdin)
    first.seek(0)
    source = os.dup(first.fileno())
    first.close()
    for at, (program, said) in enumerate(zip(chain, errors, strict=True)):
        last = at == len(chain) - 1
        with said.open("wb") as error:
            process = subprocess.Popen(
                [str(part) for part in program.argv],
                env=dict(program.env),
                cwd=program.cwd,
                stdin=source,
                stdout=stdout if last else subprocess.PIPE,
                stderr=error,
            )
        os.close(source)
        if process.stdout is not None:
            source = os.dup(process.stdout.fileno())
            process.stdout.close()
        yield process


class _Watch:
    """Adds up resident sets until stopped; `largest` is the highest of one process, as the kernel remembers it."""

    def __init__(self, roots: Sequence[int]) -> None:
        self.peak = self.largest = 0.0
        self._roots = roots
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """No more looks."""
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(_LOOK_EVERY):
            looks = [_memory(pid) for root in self._roots for pid in tree(root)]
            self.peak = max(self.peak, sum(now for now, _ in looks))
            self.largest = max([self.largest, *(highest for _, highest in looks)])


def tree(root: int) -> Iterator[int]:
    """The process and its descendants that are alive."""
    yield root
    with suppress(OSError):
        for task in Path(f"/proc/{root}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from tree(int(child))


def _memory(pid: int) -> tuple[float, float]:
    """Resident set in MB, now and at most. Zero for a process that is gone."""
    with suppress(OSError, KeyError):
        lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
        facts = dict(line.split(":", 1) for line in lines)
        return int(facts["VmRSS"].split()[0]) / 1024, int(facts["VmHWM"].split()[0]) / 1024
    return 0.0, 0.0


def tree_cpu(root: int) -> float:
    """Seconds a process and its descendants have taken so far, those that ended and were waited for included."""
    ticks = 0
    for pid in tree(root):
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(int(fields[at]) for at in (11, 12, 13, 14))  # utime, stime, cutime, cstime: proc(5)
    return ticks / _TICKS
