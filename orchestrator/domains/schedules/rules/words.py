"""Schedules in the words people use: every day at 02:00 Europe/Berlin."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise

from orchestrator.domains.schedules.rules.cron import DAY, Cron, parse
from orchestrator.domains.schedules.types import Misfire, Policy, Timing
from orchestrator.kernel import durations

_WEEKDAYS = ("Sundays", "Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays")
_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
           "November", "December")  # fmt: skip
_FEW = 4
_WORKDAYS = frozenset(range(1, 6))
_WEEKEND = frozenset({0, 6})


def described(timing: Timing, *, after: str = "") -> str:
    """When, in words. after: the name of the integration it waits for."""
    if timing.cron is not None:
        cron = parse(timing.cron)
        days, when = _days(cron), _of_the_day(cron)
        if not days or not when:
            return f"cron {timing.cron} {timing.zone}"
        return f"{when if (days, when[:5]) == ('every day', 'every') else f'{days} {when}'} {timing.zone}"
    if timing.every is not None:
        return f"every {durations.spoken(timing.every)}"
    return f"after {after or timing.after} succeeded" if timing.after else f"on {timing.event}"


def _of_the_day(cron: Cron) -> str:
    """The times of a day in words; nothing where there are too many to say."""
    if len(cron.times) <= _FEW:
        return "at " + _listed([_clock(time) for time in cron.times])
    step = cron.times[1] - cron.times[0]
    if step * len(cron.times) == DAY and all(b - a == step for a, b in pairwise(cron.times)):
        begin = f" from {_clock(cron.times[0])}" if cron.times[0] else ""
        return f"every {durations.spoken(timedelta(minutes=step))}{begin}"
    return ""


def _days(cron: Cron) -> str:
    """The days in words; nothing where there is no short way to say it."""
    months = "" if len(cron.months) == 12 else " of " + _listed([_MONTHS[m - 1] for m in sorted(cron.months)])  # noqa: PLR2004 - all there are
    every_date, every_weekday = len(cron.days) == 31, len(cron.weekdays) == 7  # noqa: PLR2004 - all there are
    if cron.either or not (every_date or every_weekday) or len(cron.months) not in {*range(1, _FEW + 1), 12}:
        return ""
    if every_date and every_weekday:
        return "every day" + months
    if every_date:
        named = {_WORKDAYS: "Mondays to Fridays", _WEEKEND: "Saturdays and Sundays"}.get(cron.weekdays)
        return (named or _listed([_WEEKDAYS[day] for day in sorted(cron.weekdays)])) + months.replace(" of ", " in ")
    if len(cron.days) > _FEW:
        return ""
    return f"day {_listed([str(day) for day in sorted(cron.days)])}{months or ' of every month'}"


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def policy_described(policy: Policy) -> str:
    """What happens to missed slots, how long a start may be delayed, when nothing starts."""
    parts = {
        Misfire.RUN_ONCE: "missed ones run once",
        Misfire.SKIP: "missed ones are left out",
        Misfire.CATCH_UP: f"the newest {policy.catch_up} missed ones run one by one",
    }
    said = [parts[policy.misfire]]
    if policy.jitter:
        said.append(f"delayed by up to {durations.spoken(policy.jitter)}")
    if policy.blackout:
        said.append(f"never {', '.join(policy.blackout)}")
    return "; ".join(said)
