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
        hidden = folder / f".{self.name}"  # nobody is to find it before it is locked
        self._file: int | None = os.open(hidden, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        hidden.rename(self._path)

    def close(self) -> None:
        """End the mark; from now on the worker counts as gone."""
        with suppress(OSError):
            self._path.unlink()
        if self._file is not None:
            os.close(self._file)
            self._file = None  # its number may be somebody else's by now


def dead(folder: Path) -> list[str]:
    """Workers whose processes ended without closing their marks. Who has seen to what they left behind forgets them."""
    marks = [one for one in folder.glob("worker-*") if _unlocked(one)]
    return [one.name for one in marks]


def forget(folder: Path, worker: str) -> None:
    """Remove the mark of a dead worker; harmless where somebody else did."""
    with suppress(OSError):
        (folder / worker).unlink()


def _unlocked(path: Path) -> bool:
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # so that two who look are in nobody's way
    except BlockingIOError:
        return False
    finally:
        os.close(file)
    return True
