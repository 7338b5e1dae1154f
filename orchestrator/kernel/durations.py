"""Durations as people write and read them: `90s`, `15m`, `1h30m`, `90d`."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

T = TypeVar("T")

_DURATION = re.compile(r"(?:(\d{1,5})d)?(?:(\d{1,7})h)?(?:(\d{1,7})m)?(?:(\d{1,7})s?)?")
OFF = "off"
LONGEST = timedelta(days=30)
A_CENTURY = timedelta(days=36_500)  # for what is kept rather than waited for


def parse(text: str, *, longest: timedelta = LONGEST) -> timedelta:
    """Read `90s`, `15m`, `1h30m`, `90d` or plain seconds; more than zero, at most `longest`. Raises ValueError."""
    match = _DURATION.fullmatch(text.strip().lower())
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (0, 0, 0, 0)
    length = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if not timedelta(0) < length <= longest:
        raise ValueError(f"must be a duration like 90s, 15m, 2h or 1h30m, up to {longest.days:,} days")
    return length


def or_off(read: Callable[[str], T], text: str) -> T | None:
    """None for `off`, else what `read` makes of it, with its errors."""
    return None if text.strip().lower() == OFF else read(text)


def spoken(length: timedelta) -> str:
    """A duration as people say it: `1 h 30 min`, `45 s`; whole days, where there are more than two, `90 d`."""
    seconds = round(length.total_seconds())
    if seconds > _TWO_DAYS and seconds % _DAY == 0:
        return f"{seconds // _DAY} d"
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    parts = [f"{hours} h" if hours else "", f"{minutes} min" if minutes else "", f"{seconds} s" if seconds else ""]
    return " ".join(part for part in parts if part) or "0 s"


_DAY = 24 * 3600
_TWO_DAYS = 2 * _DAY
