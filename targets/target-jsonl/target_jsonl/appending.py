"""A file that several loaders append to: whole lines only, a batch as a whole or not at all."""

import fcntl
import json
import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Final

log: Final = logging.getLogger("target-jsonl")

_BLOCK: Final = 64 * 1024


def append(path: Path, lines: Iterable[str]) -> None:
    """All lines on disk, or none: half a line would spoil the one that is appended next.

    The file is locked meanwhile: what is cut off where something fails is never another loader's.
    Raises OSError where it can't be written.
    """
    with path.open("a+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # until it is closed, also by kill -9
        end = _end_of_lines(file)
        try:
            with os.fdopen(os.dup(file.fileno()), "a", encoding="utf-8", newline="\n") as text:
                text.writelines(lines)
                text.flush()
                os.fsync(text.fileno())
        except BaseException:
            with suppress(OSError):
                file.truncate(end)
            raise


def _end_of_lines(file: FileIO) -> int:
    """The size of the file, of which the last line is whole now.

    Somebody who writes by hand may have left its end out; a loader that was killed leaves a part of a line, whose
    record is delivered again, as no STATE was said for it.
    """
    size = file.seek(0, os.SEEK_END)
    start, tail = size, b""
    while start and b"\n" not in tail:
        start = max(0, size - 2 * len(tail) - _BLOCK)
        tail = os.pread(file.fileno(), size - start, start)
    rest = tail[tail.rfind(b"\n") + 1 :]
    if not rest:
        return size
    try:
        json.loads(rest)
    except ValueError:
        file.truncate(size - len(rest))
        log.warning("%s ended within a line: its last %d bytes are cut off.", file.name, len(rest))
        return size - len(rest)
    file.write(b"\n")
    return size + 1
