"""What a loader notes for its next run, as a file of its own folder: Singer keeps a state for taps, not for targets.

What is in it is the loader's own affair. It is put there before a run, and taken back at the end.
"""

import os
import stat
from pathlib import Path
from typing import Final

from orchestrator.drivers.meltano.values import Side

LIMIT: Final = 32 * 1024 * 1024  # bytes; more is not kept
_NAME: Final = "notes.json"


def file(run: Path) -> Path:
    """Where they are, in a run's directory."""
    return run / Side.LOADER / _NAME


def take(run: Path) -> str | None:
    """What the loader left; None where it left nothing that can be kept.

    The folder is the loader's, so what is there may be a link to any file of ours: only its own plain file is read.
    """
    try:
        folder = os.open(run / Side.LOADER, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            found = os.open(_NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        finally:
            os.close(folder)
        with os.fdopen(found, "rb") as notes:
            facts = os.fstat(found)
            if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1 or facts.st_size > LIMIT:
                return None
            text = notes.read(LIMIT).decode()
    except (OSError, UnicodeDecodeError):
        return None
    return None if "\0" in text else text
