"""Record ids as Salesforce makes them: 15 case-sensitive characters plus a 3-character checksum.

Layout here: key prefix (3), instance (2), reserved `0` (1), serial number in base 62 (9), checksum (3).
source: Salesforce help, "ID Field Type": the suffix has one character per five, a bit per capital letter.
"""

from collections.abc import Iterator

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SUFFIXES = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
INSTANCE = "Ls"
_PAIRS = [a + b for a in DIGITS for b in DIGITS]


def _capitals(text: str) -> int:
    return sum(1 << i for i, c in enumerate(text) if "A" <= c <= "Z")


_PAIR_CAPITALS = [_capitals(pair) << 3 for pair in _PAIRS]


def checksum(id15: str) -> str:
    """The three characters that make a 15-character id safe to compare without case."""
    return "".join(SUFFIXES[_capitals(id15[i : i + 5])] for i in (0, 5, 10))


def base62(number: int, width: int) -> str:
    """`number` in base 62, left-padded with zeros to `width`."""
    out = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        out.append(DIGITS[digit])
    return "".join(reversed(out))


def make(prefix: str, serial: int) -> str:
    """The 18-character id of the record number `serial` of the object with key prefix `prefix`."""
    id15 = f"{prefix}{INSTANCE}0{base62(serial, 9)}"
    return id15 + checksum(id15)


def span(prefix: str, start: int, stop: int) -> list[str]:
    """Ids of the serials start … stop-1, as `make` gives them but a hundred times cheaper."""
    return list(_blocks(prefix, start, stop))


def _blocks(prefix: str, start: int, stop: int) -> Iterator[str]:
    size = len(_PAIRS)
    for block in range(start // size, (stop + size - 1) // size):
        head = f"{prefix}{INSTANCE}0{base62(block, 7)}"
        first, bits = checksum(head[:10] + "00000")[:2], _capitals(head[10:13])
        low, high = max(start - block * size, 0), min(stop - block * size, size)
        for pair, capitals in zip(_PAIRS[low:high], _PAIR_CAPITALS[low:high], strict=True):
            yield head + pair + first + SUFFIXES[bits | capitals]


def widen(value: str) -> str:
    """An id as people type it (15 or 18 characters) in its 18-character form; other text unchanged."""
    return value + checksum(value) if len(value) == 15 and value.isalnum() else value  # noqa: PLR2004 - id lengths
