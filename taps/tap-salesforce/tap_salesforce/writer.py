"""Singer messages on stdout: the SDK's writer, plus a way for many ready-made lines at once."""

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from singer_sdk.io_base import SingerWriter

from tap_salesforce.errors import LoaderGoneError


class LineWriter(SingerWriter):  # type: ignore[misc]  # the SDK's types are not followed
    """Writes messages, and lines that are JSON already; LoaderGoneError when nobody reads any more."""

    def write_message(self, message: Any) -> None:
        """One message of the SDK."""
        with _pipe():
            super().write_message(message)

    def write_lines(self, lines: list[str]) -> None:
        """Many lines in one call and with one flush; each ends with a line end."""
        with _pipe():
            sys.stdout.write("".join(lines))
            sys.stdout.flush()

    def reader_is_gone(self) -> bool:
        """Whether nobody reads our messages any more; False where that cannot be told."""
        try:
            pipe = select.poll()
            pipe.register(sys.stdout.fileno(), 0)
            return any(event & select.POLLERR for _, event in pipe.poll(0))
        except (OSError, ValueError):
            return False


@contextmanager
def _pipe() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as gone:
        # What is left in the buffer must go somewhere, or Python fails once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise LoaderGoneError(
            "The loader stopped reading before all records were written.", hint="See the loader's own message."
        ) from gone
