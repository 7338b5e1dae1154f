"""Standard streams that may be closed, or whose reader may leave.

A result nobody reads any more ends the command, as other programs end by SIGPIPE; a note that can't be written is
dropped, so that what the command does goes on and ends as it would have.
"""

import io
import os
import sys
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class ReaderLeftError(Exception):
    """Nobody reads the results any more. No OSError: typer and rich would make an exit status of their own of that."""


class _Results(io.FileIO):
    """Stdout. Raises ReaderLeftError once; what is written afterwards is dropped."""

    _left = False

    def write(self, data: "ReadableBuffer", /) -> int:
        if not self._left:
            try:
                return super().write(data)
            except BrokenPipeError:
                self._left = True
                raise ReaderLeftError from None
        return memoryview(data).nbytes


class _Notes(io.FileIO):
    """Stderr, whose reader may leave, whose terminal may hang up and whose disk may be full."""

    def write(self, data: "ReadableBuffer", /) -> int:
        with suppress(OSError):
            return super().write(data)
        return memoryview(data).nbytes


def prepare() -> None:
    """Put such streams in the place of stdout and stderr; what is closed becomes the null device."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # else a socket would come to be there, and be taken for it by what is started later
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdin is None:
        sys.stdin = _nothing("r")
    sys.stdout = _nothing("w") if sys.stdout is None else _text(_Results(1, "w", closefd=False), sys.stdout)
    sys.stderr = _nothing("w") if sys.stderr is None else _text(_Notes(2, "w", closefd=False), sys.stderr)


def _nothing(mode: str) -> IO[Any]:
    return open(os.devnull, mode)  # noqa: PTH123 - a device, open as long as the process


def _text(raw: io.FileIO, before: TextIO) -> TextIO:
    """Text as it was to be written before."""
    lines = isinstance(before, io.TextIOWrapper) and (before.line_buffering or before.write_through)
    buffer = io.BufferedWriter(raw)
    return io.TextIOWrapper(buffer, before.encoding, before.errors, newline="\n", line_buffering=lines)
