"""Reading cron expressions, and which minutes of which days they name.

The fields mean what crontab(5) says: names, lists, ranges and steps; 7 is Sunday; where both the day of the month and
the weekday are restricted (neither begins with `*`), either is enough. What crontab can't read isn't read here either.
"""

import calendar
import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache

from orchestrator.domains.schedules.errors import BadCronError

MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
DAY = 1440  # minutes
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LEAP_YEAR = 2024


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def number(self, text: str, whole: str, *, last: bool = False) -> int:
        """The value of one number or name; as the end of a range, Sunday comes last."""
        if text in self.names:
            value = self.names.index(text) + self.low
            return 7 if last and text == "sun" else value
        if not (text.isascii() and text.isdigit()):
            raise BadCronError(whole, f"'{text}' is no {self.name}.")
        value = int(text[:4])
        if not self.low <= value <= self.high:
            raise BadCronError(whole, f"{text} is no {self.name}; it goes from {self.low} to {self.high}.")
        return value

    def numbered(self, text: str) -> str:
        """The field without names, which other crons don't read in ranges; nor is Sunday last there."""
        text = text.replace("-sun", "-7") if "sun" in self.names else text
        return re.sub("[a-z]+", lambda found: str(self.names.index(found[0]) + self.low), text)

    def values(self, text: str, whole: str) -> frozenset[int]:
        """Every value a field names."""
        return frozenset(value for item in text.split(",") for value in self._item(item, whole))

    def _item(self, item: str, whole: str) -> range:
        span, slash, step = item.partition("/")
        low, dash, high = span.partition("-")
        if span == "*":
            first, last = self.low, self.high if self.high != 7 else 6  # noqa: PLR2004 - 7 is Sunday once more
        else:
            first = self.number(low, whole)
            last = self.number(high, whole, last=True) if dash else first
        if last < first:
            raise BadCronError(whole, f"the range {span} goes backwards; write it as two, with a comma between.")
        if not slash:
            return range(first, last + 1)
        if span != "*" and not dash:
            raise BadCronError(whole, f"a step needs a range: write {span}-{self.high}/{step}.")
        if not (step.isascii() and step.isdigit()) or int(step[:4]) == 0:
            raise BadCronError(whole, f"'{step}' is no step; it must be 1 or more.")
        if int(step[:4]) > self.high:
            hint = "For intervals that don't fit into an hour or a day: --every 90m."
            raise BadCronError(whole, f"the step {step} is longer than the {self.name} goes.", hint)
        return range(first, last + 1, int(step))


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("weekday", 0, 7, _WEEKDAYS),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """A cron expression by its values.

    text:      its five fields in numbers
    times:     minutes since midnight, in order
    weekdays:  0 is Sunday
    either:    whether a fitting day of the month or a fitting weekday is enough
    """

    text: str
    times: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool

    @property
    def every_day(self) -> bool:
        """Whether no day is left out."""
        return len(self.days) == 31 and len(self.months) == 12 and len(self.weekdays) == 7  # noqa: PLR2004 - all there are

    def unmoved_by(self, shift: timedelta) -> bool:
        """Whether clocks that are moved by so much show the very same pattern: */15 by an hour, but not `30 2`."""
        minutes, rest = divmod(shift, timedelta(minutes=1))
        if rest or (abs(minutes) >= DAY and not self.every_day):
            return False
        return {(time + minutes) % DAY for time in self.times} == set(self.times)

    def on(self, day: date) -> bool:
        """Whether this day has slots."""
        if day.month not in self.months:
            return False
        in_month, in_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return (in_month or in_week) if self.either else (in_month and in_week)

    def between(self, begin: datetime, end: datetime) -> Iterator[datetime]:
        """The moments it names from `begin` until before `end`, as a clock on the wall shows them."""
        for day in self._days(begin.date(), end):
            midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - a clock on the wall has no zone
            for time in self.times[bisect_left(self.times, _minutes(begin - midnight)) :]:
                moment = midnight + timedelta(minutes=time)
                if moment >= end:
                    return
                yield moment

    def count(self, begin: datetime, end: datetime) -> int:
        """How many that are."""
        total = 0
        for day in self._days(begin.date(), end):
            midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - of a wall clock
            first, last = _minutes(begin - midnight), _minutes(end - midnight)
            total += bisect_left(self.times, last) - bisect_left(self.times, first)
        return total

    def _days(self, day: date, end: datetime) -> Iterator[date]:
        last = end.date()
        while day <= last:
            if day.month not in self.months:
                day = date(day.year + day.month // 12, day.month % 12 + 1, 1)
                continue
            if self.on(day):
                yield day
            day += timedelta(days=1)


def _minutes(length: timedelta) -> int:
    """Whole minutes, rounded up."""
    return -(-length // timedelta(minutes=1))


@lru_cache(maxsize=50_000)
def parse(text: str) -> Cron:
    """Read an expression. Raises BadCronError, also for one whose day never comes."""
    said = text.strip().lower()
    if said.startswith("@") and said not in MACROS:
        near = ", ".join(MACROS)
        raise BadCronError(text, f"there is no {said}; there are {near}.")
    parts = MACROS.get(said, said).split()
    if len(parts) != len(_FIELDS):
        raise BadCronError(text, f"it has {len(parts)} fields, not five.")
    minutes, hours, days, months, weekdays = (
        field.values(part, text) for field, part in zip(_FIELDS, parts, strict=True)
    )
    either = not parts[2].startswith("*") and not parts[4].startswith("*")
    if not either and not any(day <= calendar.monthrange(_LEAP_YEAR, month)[1] for day in days for month in months):
        raise BadCronError(text, "that day never comes.", "The day of the month and the month don't go together.")
    return Cron(
        text=" ".join(field.numbered(part) for field, part in zip(_FIELDS, parts, strict=True)),
        times=tuple(sorted(hour * 60 + minute for hour in hours for minute in minutes)),
        days=days,
        months=months,
        weekdays=frozenset(day % 7 for day in weekdays),
        either=either,
    )
