"""What a schedule's slots are, found the long way: a clock on the wall is watched minute by minute.

Written apart from the rules it judges, with nothing of theirs: it reads cron by brute force, knows no transitions, and
sees that clocks were moved only because the minute they show is not the one after the last.
"""

from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
NAMES = tuple((name, str(at)) for at, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat")))


@cache
def in_field(field, value, low, high, names=()):
    """Whether a value fits one field, by asking each item of the list."""
    for name, number in names:
        field = field.replace(name, number)
    for item in field.split(","):
        span, _, step = item.partition("/")
        first, _, last = ("*", "", "") if span == "*" else span.partition("-")
        begin = low if first == "*" else int(first)
        end = high if first == "*" else int(last or first)
        if begin <= value <= end and (value - begin) % int(step or 1) == 0:
            return True
    return False


def on_the_wall(expression, shown):
    """Whether the expression names what a clock shows."""
    minute, hour, day, month, weekday = expression.split()
    sunday_too = 7 if shown.isoweekday() == 7 else shown.isoweekday() % 7
    in_month = in_field(day, shown.day, 1, 31)
    in_week = in_field(weekday, shown.isoweekday() % 7, 0, 6, NAMES) or in_field(weekday, sunday_too, 0, 7, NAMES)
    both_named = day[0] != "*" and weekday[0] != "*"
    return (
        in_field(minute, shown.minute, 0, 59)
        and in_field(hour, shown.hour, 0, 23)
        and in_field(month, shown.month, 1, 12)
        and ((in_month or in_week) if both_named else (in_month and in_week))
    )


def goes_on(expression, moved):
    """Whether clocks moved by so much show the same times of the day, and no named day can be lost."""
    minute, hour, *days = expression.split()
    if abs(moved) >= timedelta(days=1) and days != ["*"] * 3:
        return False

    def named(at):
        at %= 1440
        return in_field(minute, at % 60, 0, 59) and in_field(hour, at // 60, 0, 23)

    whole, rest = divmod(moved, MINUTE)
    return not rest and all(named(at) == named(at + whole) for at in range(1440))


def slots(expression, zone, begin, end):
    """Every slot from `begin` until before `end`: both on whole minutes, in UTC; watching starts a day before."""
    clock, found = ZoneInfo(zone), []
    repeated_until = shown = None
    moment = begin - timedelta(hours=26)
    while moment < end:
        before, shown = shown, moment.astimezone(clock).replace(tzinfo=None, fold=0)
        moved = timedelta(0) if before is None else shown - before - MINUTE
        fires = on_the_wall(expression, shown)
        if moved and not goes_on(expression, moved):
            if moved > timedelta(0):
                skipped = (before + MINUTE * step for step in range(1, moved // MINUTE + 1))
                fires = fires or any(on_the_wall(expression, one) for one in skipped)
            else:
                repeated_until = before
        if repeated_until is not None and shown <= repeated_until:
            fires = False
        elif repeated_until is not None:
            repeated_until = None
        if fires and moment >= begin:
            found.append(moment)
        moment += MINUTE
    return found


def days_of_change(zone, year):
    """Days on which the zone's clocks are moved, in UTC, found by asking every half hour."""
    clock, days, before = ZoneInfo(zone), set(), None
    moment = datetime(year, 1, 1, tzinfo=UTC)
    while moment.year == year:
        offset = moment.astimezone(clock).utcoffset()
        if before is not None and offset != before:
            days.add(moment.date())
        moment, before = moment + timedelta(minutes=30), offset
    return sorted(days)


def midnight(day: date):
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
