"""What people write, read: intervals, what happens to missed slots, jitter."""

import re
from datetime import datetime, timedelta
from difflib import get_close_matches

from orchestrator.domains.schedules.errors import BadIntervalError, BadPolicyError
from orchestrator.domains.schedules.rules.cron import parse
from orchestrator.domains.schedules.types import Misfire, Timing
from orchestrator.kernel import durations

_MISFIRE = re.compile(r"(?P<name>[a-z_]+)\s*[:( ]?\s*(?P<most>\d{1,9})?\)?")


def timing(
    *,
    cron: str | None = None,
    every: str | None = None,
    after: str | None = None,
    event: str | None = None,
    zone: str = "UTC",
    anchor: datetime | None = None,
) -> Timing:
    """When, from the one way that was given. Raises BadCronError, BadIntervalError, BadPolicyError."""
    if sum(one is not None for one in (cron, every, after, event)) != 1:
        raise BadPolicyError(
            "A schedule has one way to start.",
            hint="Give one of --cron '30 2 * * *', --every 15m, --after NAME, --on EVENT.",
        )
    if cron is not None:
        parse(cron)
        return Timing(cron=" ".join(cron.lower().split()), zone=zone)
    return Timing(every=None if every is None else interval(every), anchor=anchor, after=after, event=event, zone=zone)


def interval(text: str) -> timedelta:
    """An interval: `15m`, `every 2h`; whole minutes. Raises BadIntervalError."""
    try:
        length = durations.parse(text.lower().removeprefix("every "))
    except ValueError:
        raise BadIntervalError(text) from None
    if length % timedelta(minutes=1):
        raise BadIntervalError(text)
    return length


def misfire(text: str) -> tuple[Misfire, int]:
    """`run_once`, `skip` or `catch_up:5`. Raises BadPolicyError."""
    said = text.strip().lower().replace("-", "_")
    match = _MISFIRE.fullmatch(said)
    names = [one.value for one in Misfire]
    if match is None or match["name"] not in names:
        near = get_close_matches(said, names, n=1, cutoff=0.4)
        raise BadPolicyError(
            f"'{text}' says nothing about missed slots.",
            hint=f"Did you mean '{near[0]}'?" if near else "Use run_once, skip, or catch_up:5 for the newest five.",
        )
    kind = Misfire(match["name"])
    if (kind is Misfire.CATCH_UP) is not (match["most"] is not None):
        raise BadPolicyError(
            f"'{text}' leaves open how many.", hint="Write catch_up:5 for the newest five; run_once and skip take none."
        )
    return kind, int(match["most"] or 0)


def jitter(text: str) -> timedelta:
    """How long a start may be delayed: `30s`, `5m`; 0 is not at all. Raises BadPolicyError."""
    if text.strip().rstrip("smh") == "0":
        return timedelta(0)
    try:
        return durations.parse(text)
    except ValueError:
        raise BadPolicyError(f"'{text}' is no duration.", hint="Write the jitter like 30s or 10m.") from None
