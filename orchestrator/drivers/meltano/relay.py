"""Stand between a plugin and Meltano where it says what is for people, so that no flood reaches Meltano.

Meltano copies records and reads what plugins say in one thread: a plugin that says too much would slow its own sync
down, or end it where a line is longer than Meltano reads. So a process of its own, this script, reads as fast as
anybody writes (stdin), and passes on to Meltano what the sieve lets through (stderr). It ends when nobody is left to
say anything, or to hear it.

A plugin is over when its own process is, yet Meltano reads until nobody can write any more: a process that it left
behind, and that holds its pipes, would keep the run waiting. So the relay watches the plugin's process, and some
seconds after its end kills whoever holds one of the two, but for Meltano and those above it, whose own pipe it may be.
What was written before stays in the pipe and is read.

Standard library and our neighbours only: the launcher imports this on every start's path.
"""

import os
import select
import sys
import time
from collections.abc import Iterator

_CHUNK = 256 * 1024
_STDIN, _STDOUT, _STDERR = 0, 1, 2
_PLUGIN = 3  # where the relay has the plugin's process, as a pidfd
_GRACE = 3.0  # seconds a plugin's children may go on after it
_AGAIN = 0.5  # seconds between looks for who still holds its pipes
_SIGKILL = 9  # `signal` and `contextlib` take longer to import than all the rest


class _passing:  # noqa: N801 - used like a function
    """Leave the block where something is gone meanwhile: OSError."""

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        return kind is not None and issubclass(kind, OSError)


def stand_between() -> None:
    """Put a relay before our stderr. Whoever we become writes to it, and isn't its parent; it has no environment."""
    reading, writing = os.pipe()
    watched = _watched()
    between = os.fork()
    if between == 0:
        if os.fork():
            os._exit(0)
        os.dup2(reading, _STDIN)
        os.dup2(_STDERR, _STDOUT)  # our stdout carries records, and has to end with the plugin
        if watched:
            os.dup2(watched[0], _PLUGIN)
            os.set_inheritable(_PLUGIN, True)
        os.execve(sys.executable, [sys.executable, "-I", "-S", __file__, *watched[1:]], {})  # noqa: S606 - no shell is wanted
    os.waitpid(between, 0)
    os.close(reading)
    if watched:
        os.close(watched[0])
    os.dup2(writing, _STDERR)
    os.close(writing)


def _watched() -> "tuple[()] | tuple[int, str, str]":
    """Our process as a pidfd, the pipe that carries records, Meltano; nothing where the system has no such things."""
    with _passing():
        records = os.readlink(f"/proc/self/fd/{_STDOUT}")
        if records.startswith("pipe:") and hasattr(os, "pidfd_open"):
            return os.pidfd_open(os.getpid()), records, str(os.getppid())
    return ()


def main(arguments: list[str]) -> None:
    """Pass on until the end. arguments: where the plugin is watched, the pipe for records and Meltano's id."""
    sys.path.append(__file__.rsplit(os.sep, 4)[0])
    from orchestrator.drivers.meltano.sieve import Sieve

    sieve, watch = Sieve(), _Watch(arguments)
    with _passing():  # Meltano has gone
        for chunk in watch.chunks():
            _write(sieve.feed(chunk, time.monotonic()))
        _write(sieve.end())
    os.closerange(_STDIN, _STDERR + 1)  # nobody is to wait for us
    watch.to_the_end()


class _Watch:
    """Sees the plugin's process end, and then to whoever still holds its pipes."""

    def __init__(self, watched: list[str]) -> None:
        self._pipes, self._spared = set[str](), {os.getpid()}
        self._kill_at: float | None = None
        self._ready = select.poll()
        self._ready.register(_STDIN, select.POLLIN)
        if watched:
            records, meltano = watched
            self._pipes = {records, os.readlink(f"/proc/self/fd/{_STDIN}")}
            self._spared |= set(_lineage(int(meltano)))
            self._ready.register(_PLUGIN, select.POLLIN)

    def chunks(self) -> Iterator[bytes]:
        """What is said, until nobody can say more."""
        while True:
            if _STDIN in self._wait():
                chunk = os.read(_STDIN, _CHUNK)
                if not chunk:
                    return
                yield chunk

    def to_the_end(self) -> None:
        """Wait until nobody can write records either. Stdin may be closed by now, of which poll would tell for ever."""
        self._ready.unregister(_STDIN)
        while self._pipes and (self._kill_at is None or any(self._holders())):
            self._wait()

    def _wait(self) -> set[int]:
        """Files that can be read; meanwhile the plugin may have ended, and the time come for what it left."""
        left = None if self._kill_at is None else max(0.0, self._kill_at - time.monotonic()) * 1000
        files = {file for file, _ in self._ready.poll(left)}
        if _PLUGIN in files:
            self._ready.unregister(_PLUGIN)
            self._kill_at = time.monotonic() + _GRACE
        if self._kill_at is not None and time.monotonic() >= self._kill_at:
            self._kill_at = time.monotonic() + _AGAIN
            for process in self._holders():
                with _passing():
                    os.kill(process, _SIGKILL)
        return files

    def _holders(self) -> Iterator[int]:
        """Processes that could still write to one of the pipes; not those of others, or that hide from us."""
        for name in os.listdir("/proc"):
            if name.isdigit() and int(name) not in self._spared:
                with _passing():
                    files = os.listdir(f"/proc/{name}/fd")
                    if any(_can_write(f"/proc/{name}", file, self._pipes) for file in files):
                        yield int(name)


def _lineage(process: int) -> Iterator[int]:
    """A process, its parent, and so on."""
    with _passing():
        while process:
            yield process
            with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as facts:
                process = int(facts.read().rpartition(")")[2].split()[1])


def _can_write(process: str, file: str, pipes: set[str]) -> bool:
    """Whether a process has one of them open for writing; who reads the other end, as Meltano does, is left alone."""
    with _passing():  # it was closed meanwhile
        if os.readlink(f"{process}/fd/{file}") in pipes:
            with open(f"{process}/fdinfo/{file}", encoding="ascii") as facts:
                flags = next(line for line in facts if line.startswith("flags:"))
            return int(flags.split()[1], 8) & os.O_ACCMODE != os.O_RDONLY
    return False


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(_STDERR, data) :]


if __name__ == "__main__":
    main(sys.argv[1:])
