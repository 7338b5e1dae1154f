"""Run a program and say what it took: wall clock, and the CPU of its whole process tree."""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Watch = Callable[[int], None]
_LOOK_EVERY = 0.02  # seconds


class ProgramFailedError(Exception):
    """A measured program ended with a status other than 0; its figures would mean nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """What one program took.

    wall:            seconds from the start of the process to its end
    cpu:             seconds, user and system, of the process and of every descendant that was waited for
    began, ended:    seconds since the epoch
    stdout, stderr:  what it said
    """

    wall: float
    cpu: float
    began: float
    ended: float
    stdout: bytes
    stderr: bytes


def run(
    command: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path | None = None, watch: Watch | None = None
) -> Took:
    """Start a program, wait for its end, and measure it. Raises ProgramFailedError with the end of what it said.

    watch:  called with its pid every 20 ms as long as it lives; leave it out where time is measured
    """
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        began, started = time.time(), time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command],
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
        )
        pid, status, usage = os.wait4(process.pid, 0 if watch is None else os.WNOHANG)
        while not pid:
            if watch is not None:
                watch(process.pid)
            time.sleep(_LOOK_EVERY)
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        wall, ended = time.perf_counter() - started, time.time()
        process.returncode = os.waitstatus_to_exitcode(status)
        for file in (stdout, stderr):
            file.seek(0)
        took = Took(
            wall=wall,
            cpu=usage.ru_utime + usage.ru_stime,
            began=began,
            ended=ended,
            stdout=stdout.read(),
            stderr=stderr.read(),
        )
    if process.returncode != 0:
        said = (took.stderr or took.stdout).decode(errors="replace").strip().splitlines()[-20:]
        raise ProgramFailedError(f"{command[0]} ended with status {process.returncode}:\n" + "\n".join(said))
    return took
