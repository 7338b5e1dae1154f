"""Stand between a plugin and Meltano where it says what is for people, so that no flood reaches Meltano.

Meltano copies records and reads what plugins say in one thread: a plugin that says too much would slow its own sync
down, or end it where a line is longer than Meltano reads. So a process of its own, this script, reads as fast as
anybody writes (stdin), and passes on to Meltano what the sieve lets through (stderr). It ends when nobody is left to
say anything, or to hear it.

Standard library and our neighbours only: the launcher imports this on every start's path.
"""

import os
import sys
import time
from contextlib import suppress

_CHUNK = 256 * 1024
_STDIN, _STDOUT, _STDERR = 0, 1, 2


def stand_between() -> None:
    """Put a relay before our stderr. Whoever we become writes to it, and isn't its parent; it has no environment."""
    reading, writing = os.pipe()
    between = os.fork()
    if between == 0:
        if os.fork():
            os._exit(0)
        os.dup2(reading, _STDIN)
        os.dup2(_STDERR, _STDOUT)  # our stdout carries records, and has to end with the plugin
        os.execve(sys.executable, [sys.executable, "-I", "-S", __file__], {})  # noqa: S606 - no shell is wanted
    os.waitpid(between, 0)
    os.close(reading)
    os.dup2(writing, _STDERR)
    os.close(writing)


def main() -> None:
    """Pass on until the end."""
    sys.path.append(__file__.rsplit(os.sep, 4)[0])
    from orchestrator.drivers.meltano.sieve import Sieve

    sieve = Sieve()
    with suppress(OSError):  # Meltano has gone
        while chunk := os.read(_STDIN, _CHUNK):
            _write(sieve.feed(chunk, time.monotonic()))
        _write(sieve.end())


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(_STDERR, data) :]


if __name__ == "__main__":
    main()
