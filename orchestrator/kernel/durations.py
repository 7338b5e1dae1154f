"""Durations as people write and read them: `90s`, `15m`, `1h30m`."""

import re
from datetime import timedelta

_DURATION = re.compile(r"(?:(\d{1,7})h)?(?:(\d{1,7})m)?(?:(\d{1,7})s?)?")
LONGEST = timedelta(days=30)


def parse(text: str) -> timedelta:
    """Read `90s`, `15m`, `1h30m` or plain seconds; more than zero, at most 30 days. Raises ValueError."""
    match = _DURATION.fullmatch(text.strip().lower())
    hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (0, 0, 0)
    length = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    if not timedelta(0) < length <= LONGEST:
        raise ValueError(f"'{text}' is not a duration like 90s, 15m, 2h or 1h30m, up to 30 days")
    return length


def spoken(length: timedelta) -> str:
    """A duration as people say it: `1 h 30 min`, `45 s`."""
    seconds = round(length.total_seconds())
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    parts = [f"{hours} h" if hours else "", f"{minutes} min" if minutes else "", f"{seconds} s" if seconds else ""]
    return " ".join(part for part in parts if part) or "0 s"
