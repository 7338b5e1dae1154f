"""What a plugin says for people, at a bearable rate: a flood is counted, not passed on.

What success is judged by (METRIC lines) and what explains a failure (errors, the last words) is measured apart, so that
noise costs neither. Memory is bounded, and what is over the rate costs next to nothing: a chunk without a line that
matters is only searched and counted.

Standard library only: the launcher imports this on every start's path.
"""

LEFT_OUT = "left out: more than a log can take"  # how the line ends that says so
LONGEST = 128 * 1024  # bytes of a line; the rest is cut
_LAST = 50  # lines that are passed on at the end, whatever was said before
_LAST_WORDS = 4 * 1024  # bytes of each of them
_COUNTS = (b"METRIC", b"metric_info")
_TROUBLE = (b"ERROR", b"CRITICAL", b"FATAL", b"Error", b"Exception", b'"error"', b'"critical"', b"FAILURE: ")


class _Allowance:
    """Lines and bytes that may pass now; grows with time up to what may pass at once.

    Once it is spent, nothing passes until a second's worth has grown: what is left out is left out in one piece.
    """

    def __init__(self, *, lines: float, size: float, seconds: float) -> None:
        """lines, size: at once at most; seconds: until that much has grown again."""
        self._most = self._left = (lines, size)
        self._seconds = seconds
        self._since: float | None = None
        self.spent = False

    def grow(self, now: float) -> None:
        """Add what the time since the last call allows."""
        passed = 0.0 if self._since is None else max(0.0, now - self._since) / self._seconds
        lines, size = (min(most, left + most * passed) for most, left in zip(self._most, self._left, strict=True))
        self._left, self._since = (lines, size), now
        self.spent = self.spent and min(lines / self._most[0], size / self._most[1]) < 1 / self._seconds

    def take(self, size: int) -> bool:
        """Whether a line of that size may pass, which then it has."""
        lines, bytes_ = self._left
        self.spent = self.spent or lines < 1 or bytes_ < size
        if not self.spent:
            self._left = (lines - 1, bytes_ - size)
        return not self.spent


class Sieve:
    """Takes chunks, gives back what of them passes; cut in lines, in order. Times are seconds of any clock."""

    def __init__(self) -> None:
        self._ordinary = _Allowance(lines=10_000, size=10e6, seconds=50)
        self._counts = _Allowance(lines=20_000, size=20e6, seconds=50)
        self._trouble = _Allowance(lines=2_000, size=4e6, seconds=50)
        self._held = bytearray()  # the beginning of a line that goes on
        self._cut = 0  # bytes left out of it
        self._lost = [0, 0]  # lines and bytes left out since that was last said
        self._last: list[bytes] = []  # lines left out lately

    def feed(self, chunk: bytes, now: float) -> bytes:
        """What may be passed on now that this was said."""
        for allowance in (self._ordinary, self._counts, self._trouble):
            allowance.grow(now)
        passed = bytearray()
        if self._held:
            end = chunk.find(b"\n") + 1
            self._hold(chunk[: end - 1] if end else chunk)
            if not end:
                return b""
            passed += self._judged()
            chunk = chunk[end:]
        if self._ordinary.spent and not any(mark in chunk for mark in (*_COUNTS, *_TROUBLE)):
            chunk = self._leave_out(chunk)
        *complete, rest = chunk.split(b"\n")
        for part in complete:
            self._hold(part)
            passed += self._judged()
        self._hold(rest)
        return bytes(passed)

    def end(self) -> bytes:
        """What is left to be passed on: a line that didn't end, how much was left out, and the last of that."""
        passed = self._judged() if self._held else b""
        last = b"".join(line + b"\n" for line in self._last) if self._lost[0] else b""
        return passed + self._told() + last

    def _hold(self, part: bytes) -> None:
        room = LONGEST - len(self._held)
        self._held += part[:room]
        self._cut += max(0, len(part) - room)

    def _judged(self) -> bytes:
        """The line that is complete now, or nothing where it is left out."""
        line = bytes(self._held)
        if self._cut:
            line += f"… [{self._cut:,} bytes cut]".encode()
        size = len(self._held) + self._cut
        self._held.clear()
        self._cut = 0
        if not self._kind(line).take(len(line)):
            self._lost[0] += 1
            self._lost[1] += size
            self._last = [*self._last[1 - _LAST :], line[:_LAST_WORDS]]
            return b""
        told = self._told()
        self._last.clear()
        return told + line + b"\n"

    def _kind(self, line: bytes) -> _Allowance:
        if any(mark in line for mark in _COUNTS):
            return self._counts
        return self._trouble if any(mark in line for mark in _TROUBLE) else self._ordinary

    def _leave_out(self, chunk: bytes) -> bytes:
        """Drop all lines of a chunk at once, but for its last ones and the beginning of the next."""
        end = len(chunk)
        for _ in range(_LAST + 1):
            end = chunk.rfind(b"\n", 0, end)
            if end < 0:
                return chunk
        self._lost[0] += chunk.count(b"\n", 0, end + 1)
        self._lost[1] += end + 1
        return chunk[end + 1 :]

    def _told(self) -> bytes:
        lines, size = self._lost
        if not lines:
            return b""
        self._lost = [0, 0]
        return f"… {lines:,} lines ({size / 1e6:,.1f} MB) {LEFT_OUT}\n".encode()
