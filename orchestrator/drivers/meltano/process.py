"""Start one Meltano process under its supervisor, read what it says as it says it, and end it with all it started.

Nothing here blocks for good: reading ends when the process does, when it is cancelled, or at its deadline; a process
that does not listen to SIGTERM is killed after the grace. Memory is bounded whatever is written.
"""

import json
import os
import selectors
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from orchestrator.drivers.meltano import ahead
from orchestrator.drivers.meltano.directory import RunDirectory
from orchestrator.drivers.meltano.errors import StartError
from orchestrator.drivers.meltano.values import Limits

LINE_LIMIT: Final = 1024 * 1024  # bytes; the rest of a longer line is dropped
_CHUNK = 64 * 1024
_TICK = 0.1  # seconds between looks at the cancel event and the clock
_DRAIN = 2.0  # seconds for output that is left when the process is gone
_BEGIN = (sys.executable, "-I", str(Path(__file__).with_name("begin.py")))


class Isolation(StrEnum):
    """How processes are kept together; see supervise.py."""

    NAMESPACE = "namespace"
    SUBREAPER = "subreaper"


class Stopped(StrEnum):
    """Why we ended a process before it ended by itself."""

    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    ENOUGH = "enough"
    MEMORY = "memory"
    PROCESSES = "processes"


_OVER = {112: Stopped.MEMORY, 113: Stopped.PROCESSES}  # statuses of a supervisor that ended the run; see supervise.py


@dataclass(slots=True)
class Lease:
    """Until when a process may go on; whoever holds its run moves it, from any thread.

    until:  by the clock of time.monotonic(), which the supervisor reads as well: it ends the process where we can't
    """

    until: float

    @property
    def over(self) -> bool:
        """Whether others may hold the run by now."""
        return time.monotonic() >= self.until


class Lines:
    """Cuts a stream of bytes into lines of at most `limit` bytes; of longer ones the beginning is kept."""

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self._limit = limit
        self._held = bytearray()
        self._dropped = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The lines that are complete now, without their newline."""
        *complete, rest = chunk.split(b"\n")
        for part in complete:
            self._hold(part)
            yield self._take()
        self._hold(rest)

    def end(self) -> Iterator[bytes]:
        """What came after the last newline."""
        if self._held:
            yield self._take()

    def _hold(self, part: bytes) -> None:
        room = self._limit - len(self._held)
        self._held += part[:room]
        self._dropped += max(0, len(part) - room)

    def _take(self) -> bytes:
        line = bytes(self._held)
        if self._dropped:
            line += f"… [{self._dropped:,} bytes cut]".encode()
        self._held.clear()
        self._dropped = 0
        return line


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a process ended. code: its status, 128 + n for signal n; stopped: why we ended it, None if we did not."""

    code: int
    stopped: Stopped | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """What to start and when to stop.

    command:         Meltano's program, and what it is told
    environment:     given to Meltano as a JSON object on its stdin, so that it is in no process's /proc files
    timeout, grace:  seconds; timeout None waits for ever
    lease:           None where nobody else could take the work over
    started:         told the supervisor's process id, whose descendants all that is started will be
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    directory: RunDirectory
    timeout: float | None
    grace: float
    cancel: threading.Event
    lease: Lease | None = None
    started: Callable[[int], None] = lambda _: None
    isolation: Isolation = Isolation.NAMESPACE
    limits: Limits = field(default_factory=Limits)


def possible_isolation() -> Isolation | None:
    """What keeps processes together on this machine; None: their process group only. Takes 20 ms."""
    command = (*ahead.SUPERVISOR, "", "0", "0", Isolation.NAMESPACE, "inf", "0", "0")
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return Isolation(done.stdout) if done.stdout in list(Isolation) else None


def stream(
    process: Process, *, on_line: Callable[[bytes], None], on_stdout: Callable[[bytes], bool | None] | None = None
) -> Ended:
    """Run it to its end and hand over every line, in this thread.

    on_line:    lines of stderr, and of stdout where on_stdout is not given
    on_stdout:  raw chunks of stdout; returns True for enough, which ends the process
    An exception of either ends everything and goes on. Raises StartError where the supervisor cannot be started.
    """
    running = _start(process)
    try:
        process.started(running.pid)
        return _Reading(process, running, on_line, on_stdout).until_end()
    finally:
        _kill(running)


def _start(process: Process) -> "subprocess.Popen[bytes]":
    lock = process.directory.lock
    places = os.pathsep.join(map(str, dict.fromkeys((process.directory.path, process.directory.sockets))))
    until = "inf" if process.lease is None else repr(process.lease.until)
    rest = (process.isolation, until, str(process.limits.memory), str(process.limits.processes))
    try:
        with tempfile.TemporaryFile(dir=process.directory.path) as given:
            given.write(json.dumps(dict(process.environment)).encode())
            given.seek(0)
            files = (lock, given.fileno())
            if (waiting := ahead.take()) is not None:
                if waiting.tell((places, *rest, *process.command), files):
                    return waiting.process
                waiting.end()
            return subprocess.Popen(
                (*ahead.SUPERVISOR, places, *map(str, files), *rest, *_BEGIN, *process.command),
                cwd=process.directory.path,
                env={},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                pass_fds=files,
                start_new_session=True,
            )
    except OSError as error:
        raise StartError(
            f"A process could not be started: {error.strerror}.",
            hint="Check the machine's limits on processes, memory and the size of settings.",
        ) from error


def _kill(running: "subprocess.Popen[bytes]") -> None:
    """End what still runs and close every pipe."""
    _say(running, b"k")
    with suppress(subprocess.TimeoutExpired):
        running.wait(timeout=10)
    if running.poll() is None:
        running.kill()
        running.wait()
    for pipe in (running.stdin, running.stdout, running.stderr):
        if pipe is not None:
            pipe.close()


def _say(running: "subprocess.Popen[bytes]", word: bytes) -> None:
    if running.stdin is not None:
        with suppress(BrokenPipeError):
            running.stdin.write(word)


class _Reading:
    """The reading of one process, with the clock beside it."""

    def __init__(
        self,
        process: Process,
        running: "subprocess.Popen[bytes]",
        on_line: Callable[[bytes], None],
        on_stdout: Callable[[bytes], bool | None] | None,
    ) -> None:
        self._process = process
        self._running = running
        self._on_line = on_line
        self._on_stdout = on_stdout
        self._deadline = None if process.timeout is None else time.monotonic() + process.timeout
        self._kill_at: float | None = None
        self._stopped: Stopped | None = None
        self._lines: dict[int, Lines | None] = {}
        self._told = 0.0

    def until_end(self) -> Ended:
        """Read until both pipes are closed, or the process is gone for longer than output takes to arrive."""
        assert self._running.stdout is not None and self._running.stderr is not None  # noqa: S101, PT018 - PIPE above
        gone_at: float | None = None
        with selectors.DefaultSelector() as selector:
            for pipe in (self._running.stdout, self._running.stderr):
                raw = pipe is self._running.stdout and self._on_stdout is not None
                self._lines[pipe.fileno()] = None if raw else Lines()
                selector.register(pipe, selectors.EVENT_READ)
            while selector.get_map():
                for key, _ in selector.select(_TICK):
                    if not self._read(key.fd):
                        selector.unregister(key.fileobj)
                self._look_at_the_clock()
                if self._running.poll() is not None:
                    gone_at = gone_at or time.monotonic()
                    if time.monotonic() - gone_at > _DRAIN:
                        break
        code = self._wait()
        return Ended(code=code, stopped=self._stopped or _OVER.get(code))

    def _read(self, fd: int) -> bool:
        """Hand over what is there; False at the end of the pipe."""
        chunk = os.read(fd, _CHUNK)
        lines = self._lines[fd]
        if lines is None:
            if self._on_stdout is not None and chunk and self._on_stdout(chunk):
                self._stop(Stopped.ENOUGH)
        else:
            for line in lines.feed(chunk) if chunk else lines.end():
                self._on_line(line)
        return bool(chunk)

    def _look_at_the_clock(self) -> None:
        lease = self._process.lease
        if lease is not None and lease.until != self._told:
            self._told = lease.until
            _say(self._running, b"u%r\n" % self._told)
        if self._stopped is None:
            if self._process.cancel.is_set():
                self._stop(Stopped.CANCELLED)
            elif self._deadline is not None and time.monotonic() >= self._deadline:
                self._stop(Stopped.TIMED_OUT)
        elif self._kill_at is not None and time.monotonic() >= self._kill_at:
            self._kill_at = None
            _say(self._running, b"k")

    def _stop(self, why: Stopped) -> None:
        if self._stopped is None:
            self._stopped = why
            grace = 0.0 if why is Stopped.ENOUGH else self._process.grace
            self._kill_at = time.monotonic() + grace
            _say(self._running, b"t")

    def _wait(self) -> int:
        """The supervisor's status; it ends right after its pipes do."""
        while self._running.poll() is None:
            self._look_at_the_clock()
            with suppress(subprocess.TimeoutExpired):
                self._running.wait(timeout=_TICK)
        code = self._running.returncode
        return code if code >= 0 else 128 - code
