"""Have Meltano imported by the time it is needed: half a second that a command would otherwise wait for.

A command that will start Meltano begins a supervisor before it imports its own half second of modules. That one
imports Meltano meanwhile, and waits to be told what every other supervisor is told as it starts (supervise.py). Until
then it has been given nothing and has done nothing, so it can be ended at any moment. If nobody tells it, it ends with
us.

Standard library only: this is imported before everything else.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

SUPERVISOR: Final = (sys.executable, "-I", "-S", str(Path(__file__).with_name("supervise.py")))
# What Meltano looks at while it is imported, and is given again once it runs (project.py).
ENVIRONMENT: Final = {"LANG": "C.UTF-8", "NO_COLOR": "1", "TZ": "UTC"}

_waiting: list["Waiting"] = []


class Waiting:
    """A supervisor that imports Meltano, and waits."""

    def __init__(self) -> None:
        """Start it. Raises OSError."""
        ours, its = socket.socketpair()
        with its:
            self.process: subprocess.Popen[bytes] = subprocess.Popen(
                (*SUPERVISOR, "ahead"),
                cwd=os.sep,
                env=ENVIRONMENT,
                stdin=its.fileno(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        self.process.stdin = os.fdopen(ours.detach(), "wb", buffering=0)

    def tell(self, arguments: Sequence[str], files: Sequence[int]) -> bool:
        """What a supervisor is told as it starts, the files apart; False where this one is gone."""
        assert self.process.stdin is not None  # noqa: S101 - made above
        said = json.dumps(list(arguments)).encode()
        with suppress(OSError), socket.socket(fileno=os.dup(self.process.stdin.fileno())) as line:
            socket.send_fds(line, [len(said).to_bytes(4)], files)
            line.sendall(said)
            return True
        return False

    def end(self) -> None:
        """It has nothing to clean up."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


def begin() -> None:
    """Start one for whoever takes it; without it, Meltano starts when it is asked for."""
    with suppress(OSError):
        _waiting.append(Waiting())


def take() -> Waiting | None:
    """The one that waits, once."""
    return _waiting.pop() if _waiting else None


def end() -> None:
    """Nobody takes it any more."""
    while (waiting := take()) is not None:
        waiting.end()
