"""The folder of batch files, out of which nothing is opened or removed that is no plain file of its own.

A tap names the files, and writes to their folder while we read; the loader may read more than the tap does: its own
configuration, its environment in /proc. So every step of a path is opened below the one before and no link is
followed, however fast something takes another's place; what has a second name somewhere is refused.
target-postgres-copy and target-duckdb have the same module: each can be installed alone.
source: man 2 open (O_NOFOLLOW, openat), 7 path_resolution
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe would be waited for


class NoBatchFileError(OSError):
    """A path is no plain file, or is none of the folder's own."""


@contextmanager
def opened(path: Path, *, within: Path | None) -> Iterator[int]:
    """A descriptor of the file for reading. within: the folder that it has to be in; None: anywhere, by any link.

    Raises NoBatchFileError, FileNotFoundError where there is none, and PermissionError.
    """
    if "\0" in str(path):
        raise NoBatchFileError
    if within is None:
        with _refusing():
            number = os.open(path, _FILE)
    else:
        with _parent(path, within) as (folder, name), _refusing():
            number = os.open(name, _FILE | os.O_NOFOLLOW, dir_fd=folder)
    try:
        found = os.fstat(number)
        if not stat.S_ISREG(found.st_mode) or (within is not None and found.st_nlink > 1):
            raise NoBatchFileError
        yield number
    finally:
        os.close(number)


def remove(path: Path, *, within: Path | None) -> None:
    """Remove a plain file. within: as above. Raises what `opened` does."""
    if "\0" in str(path):
        raise NoBatchFileError
    if within is None:
        if stat.S_ISREG(path.lstat().st_mode):
            path.unlink()
        return
    with _parent(path, within) as (folder, name):
        if stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=folder)


@contextmanager
def _parent(path: Path, within: Path) -> Iterator[tuple[int, str]]:
    """The open folder that a file lies in, and the file's name there."""
    *folders, name = _steps(path.absolute(), within.absolute())
    number = os.open(within, _FOLDER)
    try:
        for step in folders:
            with _refusing():
                inner = os.open(step, _FOLDER | os.O_NOFOLLOW, dir_fd=number)
            os.close(number)
            number = inner
        yield number, name
    finally:
        os.close(number)


def _steps(path: Path, within: Path) -> tuple[str, ...]:
    for folder in (within, within.resolve()):
        if path.is_relative_to(folder) and path != folder:
            steps = path.relative_to(folder).parts
            if ".." not in steps:
                return steps
    raise NoBatchFileError


@contextmanager
def _refusing() -> Iterator[None]:
    """A link, a socket, a folder that is none: each has an error number of its own."""
    try:
        yield
    except (FileNotFoundError, PermissionError):
        raise
    except (OSError, ValueError) as error:
        raise NoBatchFileError from error
