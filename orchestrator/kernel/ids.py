"""Ids people can read out: a prefix that says what it is, and a UUIDv7 in 26 characters.

The form is TypeID's: `int_01hzx3…`, Crockford base32 of the 128 bits, so that ids sort by creation.
source: TypeID specification 0.3; RFC 9562 section 5.7 (UUIDv7)
"""

import re
import secrets
import time
from base64 import b32hexencode
from uuid import UUID

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_FROM_BASE32HEX = bytes.maketrans(b"0123456789ABCDEFGHIJKLMNOPQRSTUV", _ALPHABET.encode())
_TO_DIGITS = str.maketrans(_ALPHABET, "0123456789abcdefghijklmnopqrstuv")  # as int() reads base 32
_WHOLE = re.compile(f"[0-7][{_ALPHABET}]{{25}}")  # 26 characters hold 130 bits: the first two are none
_VALUES = {char: value for value, char in enumerate(_ALPHABET)}
_LENGTH = 26
_LAST = (1 << 128) - 1
LARGEST = 10**15  # of rows that Postgres numbers; no history is that long


def uuid7() -> UUID:
    """A time-ordered random id; 48 bits of milliseconds, 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & (1 << 48) - 1) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)


def encode(prefix: str, value: UUID) -> str:
    """The text form of an id: prefix, underscore, 26 characters."""
    body = b32hexencode(value.int.to_bytes(20))[-_LENGTH:].translate(_FROM_BASE32HEX)
    return f"{prefix}_{body.decode()}"


def new(prefix: str) -> str:
    """A fresh id of this kind."""
    return encode(prefix, uuid7())


def decode(prefix: str, text: str) -> UUID:
    """The UUID of a whole id. Raises ValueError where it isn't one of this kind."""
    kind, _, body = text.partition("_")
    if kind != prefix or not _WHOLE.fullmatch(body.lower()):
        raise ValueError(f"not a {prefix}_ id")
    return UUID(int=int(body.lower().translate(_TO_DIGITS), 32))


def bounds(prefix: str, text: str) -> tuple[UUID, UUID]:
    """The first and last UUID whose text starts so. Raises ValueError where none can.

    text:  the beginning of an id, with its `int_` or without
    """
    body = text.removeprefix(f"{prefix}_").lower()
    if not body or len(body) > _LENGTH or any(char not in _VALUES for char in body):
        raise ValueError(f"not the beginning of a {prefix}_ id")
    low = high = 0
    for position in range(_LENGTH):
        known = position < len(body)
        low = low << 5 | (_VALUES[body[position]] if known else 0)
        high = high << 5 | (_VALUES[body[position]] if known else 31)
    if low > _LAST:
        raise ValueError(f"not the beginning of a {prefix}_ id")
    return UUID(int=low), UUID(int=min(high, _LAST))
