"""The folder of an installation: its key, its database and its plugins lie in it, so nobody else may look or write.

A folder that is there already is closed to others, unless closing it would take it away from somebody: one that
belongs to another user, that everybody may write to (/tmp), or that is a person's own home or the root of the disk.
"""

import os
import stat
from pathlib import Path

from orchestrator.kernel.errors import InvalidConfigError

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_SHARED = stat.S_IWOTH | stat.S_ISVTX


class HomeError(InvalidConfigError):
    """The folder can't be made private."""

    code = "home_unusable"

    def __init__(self, folder: Path, why: str) -> None:
        super().__init__(
            f"{folder} can't be the folder of this installation: {why}.",
            hint="Set ORCHESTRATOR_HOME to a folder of its own.",
            problems=(("ORCHESTRATOR_HOME", why),),
        )


def make_private(folder: Path) -> None:
    """Make the folder, or close the one that is there: 0700. Raises HomeError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise HomeError(folder, f"it can't be made or opened ({error.strerror})") from None
    try:
        about = os.fstat(descriptor)
        if about.st_mode & _OTHERS:
            _check_ours(folder, about)
            os.fchmod(descriptor, 0o700)
        elif about.st_uid not in {os.geteuid(), 0}:
            raise HomeError(folder, f"it belongs to another user ({about.st_uid})")
    finally:
        os.close(descriptor)


def _check_ours(folder: Path, about: os.stat_result) -> None:
    """Refuse to close a folder that others need. Raises HomeError."""
    where = folder.resolve()
    if about.st_uid != os.geteuid():
        raise HomeError(folder, f"others can look into it, and it belongs to another user ({about.st_uid})")
    if about.st_mode & _SHARED:
        raise HomeError(folder, "everybody may write to it")
    if where in {Path.home().resolve(), Path(where.anchor)}:
        raise HomeError(folder, "others can look into it, and it is not a folder of its own")
