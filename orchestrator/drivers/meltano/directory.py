"""The private directory of one run: made, locked, and removed on every path.

It holds secrets in clear while the run lives (Meltano writes the plugins' config files into it), so it is 0700, in
memory where the machine has such a place, and never outlives its run: the runner removes it, the supervisor does
where the runner died, and `reap` does where both died. Alive means that somebody holds the flock on its lock file,
which the kernel drops with the process; process ids are never trusted.
"""

import errno
import fcntl
import os
import secrets
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from orchestrator.drivers.meltano.errors import RunStorageError
from orchestrator.drivers.meltano.removal import remove

_LOCK = "lock"
_DEAD = "dead-"
_TRIES = 100
_PREFIX = "run-"
_NAME_BYTES = 8
_NAME = "[0-9a-f]" * 2 * _NAME_BYTES  # as a pattern
_SHORT, _SOCKETS = Path("/tmp"), "orchestrator-"  # noqa: S108 - folders in it are 0700 and have random names
_ABANDONED = 3600.0  # seconds since anything was made in a folder of sockets
_LONGEST_SOCKET = 100  # a unix socket's path ends at 108 bytes on Linux, 104 on macOS
_MEMORY = Path("/dev/shm")  # noqa: S108 - the run directories in it are 0700 and have random names
_LEAST_FREE = 256 * 1024 * 1024  # plugins spool here too; a container's default of 64 MiB is no place for that


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDirectory:
    """One run's own directory. sockets: where unix sockets go, the directory itself unless its path is too long."""

    path: Path
    sockets: Path
    lock: int


def default_root(home: Path) -> Path:
    """Where run directories are made: in memory where there is room, else under home.

    There too where somebody else has taken our name in memory.
    source: file-hierarchy(7): /dev/shm is a tmpfs for every user; names in it are per user here
    """
    with suppress(OSError):
        free = shutil.disk_usage(_MEMORY).free
        if free >= _LEAST_FREE and os.access(_MEMORY, os.W_OK):
            found = root_in(_MEMORY)
            if _is_ours(found) or not os.path.lexists(found):
                return found
    return root_at_home(home)


def root_at_home(home: Path) -> Path:
    """Where run directories are made that memory has no place for."""
    return home / "runs"


def root_in(folder: Path) -> Path:
    """The folder of our user's run directories, and of nothing else, in one that others may use too."""
    return folder / f"orchestrator-{os.geteuid()}"


@contextmanager
def run_directory(root: Path) -> Iterator[RunDirectory]:
    """Make a locked directory and remove it at the end, whatever happens in between.

    Raises RunStorageError where it cannot be made: no space, no permission, or root belongs to somebody else.
    """
    try:
        directory = _make(root)
    except OSError as error:
        raise RunStorageError(
            f"The run's private directory could not be made under {root}: {error.strerror}.",
            hint="Free some space there, or set ORCHESTRATOR_RUNS__DIRECTORY.",
            path=str(root),
        ) from error
    try:
        yield directory
    finally:
        remove(str(directory.path))
        if directory.sockets != directory.path:
            remove(str(directory.sockets))
        os.close(directory.lock)


def _make(root: Path) -> RunDirectory:
    own_root(root)
    path, lock = _locked(root)
    short = len(os.fsencode(path / "state.sock")) <= _LONGEST_SOCKET
    try:
        sockets = path if short else Path(tempfile.mkdtemp(prefix=_SOCKETS, dir=_SHORT))
    except OSError:
        remove(str(path))
        os.close(lock)
        raise
    return RunDirectory(path=path, sockets=sockets, lock=lock)


def _locked(root: Path) -> tuple[Path, int]:
    """A new directory and the descriptor of its lock, held; another one where a reaper was faster."""
    for _ in range(_TRIES):
        path = root / f"{_PREFIX}{secrets.token_hex(_NAME_BYTES)}"
        path.mkdir(mode=0o700)
        try:
            lock = _lock(path)
        except OSError:
            remove(str(path))
            raise
        if lock is not None:
            return path, lock
    raise BlockingIOError(errno.EAGAIN, "others took every new directory away", str(root))


def _lock(path: Path) -> int | None:
    """The lock of a run directory, held; None where somebody else holds it or the directory is gone.

    Whoever holds the lock may remove it: it counts only where it is still there once it is held.
    """
    try:
        lock = os.open(path / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(lock).st_nlink:
            return lock
    except BlockingIOError:
        pass
    os.close(lock)
    return None


def own_root(root: Path) -> None:
    """Make root 0700; refuse one that is a link or belongs to another user (others may write to /dev/shm)."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = root.lstat()
    if root.is_symlink() or found.st_uid != os.geteuid():
        raise PermissionError(1, "it belongs to somebody else", str(root))
    if found.st_mode & 0o077:
        root.chmod(0o700)


def reap(root: Path) -> int:
    """Remove every run directory whose owners are dead; how many there were."""
    left = root.glob(f"{_DEAD}*")  # somebody who removed it died over it
    dead = [path for path in root.glob(f"{_PREFIX}*") if _reap(path)]
    for path in left:
        remove(str(path))
    return len(dead)


def reap_former(folder: Path) -> int:
    """The same in a folder that others use too, where run directories were made before they had one of their own."""
    found = [path for pattern in (_PREFIX, _DEAD) for path in folder.glob(f"{pattern}{_NAME}") if _is_ours(path)]
    return sum(_reap(path) for path in found)


def reap_sockets() -> int:
    """Remove the folders of sockets that nobody listens on any more; how many there were.

    They outlive their run only where its supervisor was killed too. A folder with anything else in it is none of them.
    """
    return sum(_reap_sockets(path) for path in _SHORT.glob(f"{_SOCKETS}*") if _is_ours(path))


def _reap_sockets(path: Path) -> bool:
    try:
        inside = list(path.iterdir())
        old = time.time() - path.stat().st_mtime > _ABANDONED
        if not old or not all(stat.S_ISSOCK(one.lstat().st_mode) and _is_deaf(one) for one in inside):
            return False
        for one in inside:
            one.unlink()
        path.rmdir()
    except OSError:
        return False
    return True


def _is_deaf(path: Path) -> bool:
    """Whether nobody listens on a socket."""
    with socket.socket(socket.AF_UNIX) as line:
        line.setblocking(False)
        try:
            line.connect(str(path))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


def _is_ours(path: Path) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def _reap(path: Path) -> bool:
    """Remove it where nobody holds its lock, one without a lock too: its owner died making or removing it."""
    try:
        lock = _lock(path)
    except OSError:
        return False
    if lock is None:
        return False
    dead = path.with_name(f"{_DEAD}{secrets.token_hex(_NAME_BYTES)}")
    try:
        path.rename(dead)  # from here on nobody who makes it can find it, with a lock or without
    except OSError:
        return False
    else:
        remove(str(dead))
        return True
    finally:
        os.close(lock)
