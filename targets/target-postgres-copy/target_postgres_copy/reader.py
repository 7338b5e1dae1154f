"""Lines from stdin, read in blocks, with a pause in which loads that wait too long are started."""

import os
import select
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, Final

from singer_sdk.io_base import GenericSingerReader

from target_postgres_copy.errors import MessageError
from target_postgres_copy.records import decode

_BLOCK: Final = 1 << 18
_PAUSE: Final = 0.5  # seconds


class LineReader(GenericSingerReader[bytes]):  # type: ignore[misc]  # the SDK's types are not followed
    """The SDK's reader, but RECORD lines go to `take` as bytes.

    take:  handles a line if it is a RECORD of a known stream, and says whether it did
    pause: called between blocks and at least every half second
    size:  bytes of the line that is being handled, where `take` didn't
    wake:  a file descriptor that becomes readable when a load is finished
    end:   called when reading ends in an exception
    """

    default_input = sys.stdin

    def __init__(self) -> None:
        super().__init__()
        self.take: Callable[[bytes], bool] = lambda _: False
        self.pause: Callable[[], None] = lambda: None
        self.end: Callable[[], None] = lambda: None
        self.size = 0
        self.wake: int | None = None

    def deserialize_json(self, line: bytes) -> dict[str, Any]:
        """A message; MessageError if it is none."""
        message = decode(line)
        if not isinstance(message, dict):
            raise MessageError("The tap wrote a line that is not a Singer message.", hint="See the tap's own log.")
        return message

    def process_lines(
        self, file_input: IO[Any] | None, callbacks: dict[str, Callable[[dict[str, Any]], None]]
    ) -> "Counter[str]":
        """Handle all messages; how many there were of each type."""
        counts: Counter[str] = Counter()
        taken = 0
        take = self.take
        try:
            for line in self._stdin() if file_input is None else _encoded(file_input):
                if take(line):
                    taken += 1
                elif line and not line.isspace():
                    counts[self._handle(line, callbacks)] += 1
        except BaseException:
            self.end()
            raise
        counts["RECORD"] += taken
        return counts

    def _handle(self, line: bytes, callbacks: dict[str, Callable[[dict[str, Any]], None]]) -> str:
        self.size = len(line)
        message = self.deserialize_json(line)
        kind = str(message.get("type"))
        callback = callbacks.get(kind)
        if callback is None:
            raise MessageError("The tap wrote a message of a type that Singer does not know.", hint="See its log.")
        callback(message)
        return kind

    def _stdin(self) -> Iterator[bytes]:
        source = sys.stdin.fileno()
        left: list[bytes] = []
        while block := self._block(source):
            *whole, last = block.split(b"\n")
            if whole:
                whole[0] = b"".join([*left, whole[0]])
                left.clear()
                yield from whole
            left.append(last)
            self.pause()
        if rest := b"".join(left):
            yield rest

    def _block(self, source: int) -> bytes:
        watched = [source] if self.wake is None else [source, self.wake]
        while True:
            ready, _, _ = select.select(watched, [], [], _PAUSE)
            if self.wake in ready:
                os.read(self.wake, 4096)
            if source in ready:
                return os.read(source, _BLOCK)
            self.pause()


def _encoded(lines: Iterable[str | bytes]) -> Iterator[bytes]:
    for line in lines:
        yield line.encode() if isinstance(line, str) else line
