"""Whether a worker process of this machine still lives: each holds a lock that the kernel frees with it.

A lease in the database tells the same of any machine, only later; this lets the next start see at once that its
predecessor was killed.
"""

import fcntl
import os
import secrets
from contextlib import suppress
from pathlib import Path


class WorkerMark:
    """A locked file named after the worker, for as long as its process lives or until `close`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.name = f"worker-{secrets.token_hex(8)}"
        self._path = folder / self.name
        self._file: int | None = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def close(self) -> None:
        """End the mark; from now on the worker counts as gone."""
        with suppress(OSError):
            self._path.unlink()
        if self._file is not None:
            os.close(self._file)
            self._file = None  # its number may be somebody else's by now


def known_dead(folder: Path, worker: str) -> bool:
    """Whether this machine knows that the worker is gone. False says nothing: it may live, or run elsewhere."""
    path = folder / Path(worker).name
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        with suppress(OSError):
            path.unlink()
        return True
    finally:
        os.close(file)
