"""Slots around clock changes: a table written by hand, and random cases against a clock watched minute by minute.

SCHEDULE_CASES says how many random cases; 10,000 take some minutes.
"""

import os
import random
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

import pytest

from orchestrator.domains.schedules import rules
from orchestrator.domains.schedules.errors import BadCronError
from orchestrator.domains.schedules.types import Timing
from tests.domains.schedules import oracle

CASES = int(os.environ.get("SCHEDULE_CASES", "150"))
SEED = int(os.environ.get("SCHEDULE_SEED", "20261121"))
INSTANT = timedelta(microseconds=1)

# Zone, expression, from when on the wall until when; the slots as the zone's clocks show them, with their offset
# where the clock alone leaves it open.
TABLE = [line.split(" | ") for line in """\
Europe/Berlin | 30 2 * * * | 2026-03-28 12:00 | 2026-03-30 12:00 | 29 03:00, 30 02:30
Europe/Berlin | */15 2 * * * | 2026-03-28 12:00 | 2026-03-29 12:00 | 29 03:00
Europe/Berlin | 0 2,3 * * * | 2026-03-28 12:00 | 2026-03-29 12:00 | 29 03:00
Europe/Berlin | 0 1-3 * * * | 2026-03-29 00:00 | 2026-03-29 12:00 | 29 01:00, 29 03:00
Europe/Berlin | 0 */2 * * * | 2026-03-29 00:00 | 2026-03-29 07:00 | 29 00:00, 29 03:00, 29 04:00, 29 06:00
Europe/Berlin | */15 * * * * | 2026-03-29 01:30 | 2026-03-29 03:30 | 29 01:30, 29 01:45, 29 03:00, 29 03:15
Europe/Berlin | 30 * * * * | 2026-03-29 00:00 | 2026-03-29 05:00 | 29 00:30, 29 01:30, 29 03:30, 29 04:30
Europe/Berlin | @hourly | 2026-03-29 00:30 | 2026-03-29 05:00 | 29 01:00, 29 03:00, 29 04:00
Europe/Berlin | 59 2 29 3 * | 2026-03-01 00:00 | 2026-04-01 00:00 | 29 03:00
Europe/Berlin | 0 2 * * sun | 2026-03-23 00:00 | 2026-04-06 00:00 | 29 03:00, 05 02:00
Europe/Berlin | 30 2 * * * | 2026-10-24 12:00 | 2026-10-26 12:00 | 25 02:30+02, 26 02:30
Europe/Berlin | */30 2 * * * | 2026-10-24 12:00 | 2026-10-25 12:00 | 25 02:00+02, 25 02:30+02
Europe/Berlin | 0 */2 * * * | 2026-10-25 00:00 | 2026-10-25 07:00 | 25 00:00, 25 02:00+02, 25 04:00, 25 06:00
Europe/Berlin | */30 * * * * | 2026-10-25 01:30 | 2026-10-25 03:30 | 25 01:30, 25 02:00+02, 25 02:30+02, 25 02:00+01, 25 02:30+01, 25 03:00
Europe/Berlin | 30 * * * * | 2026-10-25 01:00 | 2026-10-25 04:00 | 25 01:30, 25 02:30+02, 25 02:30+01, 25 03:30
Europe/Berlin | 0 3 * * * | 2026-10-24 12:00 | 2026-10-25 12:00 | 25 03:00
Europe/Berlin | 0 2 25 10 * | 2026-10-01 00:00 | 2026-11-01 00:00 | 25 02:00+02
America/New_York | 30 2 * * * | 2026-03-07 12:00 | 2026-03-09 12:00 | 08 03:00, 09 02:30
America/New_York | 0 2,3 * * * | 2026-03-07 12:00 | 2026-03-08 12:00 | 08 03:00
America/New_York | 30 1 * * * | 2026-10-31 12:00 | 2026-11-02 12:00 | 01 01:30-04, 02 01:30
America/New_York | 0 1 1 * * | 2026-10-31 12:00 | 2026-11-02 12:00 | 01 01:00-04
America/New_York | @hourly | 2026-11-01 00:30 | 2026-11-01 02:30 | 01 01:00-04, 01 01:00-05, 01 02:00
Europe/London | 30 1 * * * | 2026-03-28 12:00 | 2026-03-30 12:00 | 29 02:00, 30 01:30
Europe/London | 0 1 * * * | 2026-03-28 12:00 | 2026-03-30 12:00 | 29 02:00, 30 01:00
Europe/London | 30 1 * * * | 2026-10-24 12:00 | 2026-10-26 12:00 | 25 01:30+01, 26 01:30
Europe/London | */20 1 * * * | 2026-10-24 12:00 | 2026-10-25 12:00 | 25 01:00+01, 25 01:20+01, 25 01:40+01
Europe/Dublin | 30 1 * * * | 2026-10-24 12:00 | 2026-10-26 12:00 | 25 01:30+01, 26 01:30
Australia/Sydney | 30 2 * * * | 2026-04-04 12:00 | 2026-04-06 12:00 | 05 02:30+11, 06 02:30
Australia/Sydney | 0 */3 * * * | 2026-04-05 00:00 | 2026-04-05 07:00 | 05 00:00, 05 03:00, 05 06:00
Australia/Sydney | 30 2 * * * | 2026-10-03 12:00 | 2026-10-05 12:00 | 04 03:00, 05 02:30
Australia/Sydney | 15,45 2 * * sun | 2026-10-03 12:00 | 2026-10-05 12:00 | 04 03:00
Pacific/Auckland | 30 2 * * * | 2026-09-26 12:00 | 2026-09-28 12:00 | 27 03:00, 28 02:30
Australia/Lord_Howe | 15 2 * * * | 2026-10-03 12:00 | 2026-10-05 12:00 | 04 02:30, 05 02:15
Australia/Lord_Howe | 30 2 * * * | 2026-10-03 12:00 | 2026-10-05 12:00 | 04 02:30, 05 02:30
Australia/Lord_Howe | */15 * * * * | 2026-10-04 01:30 | 2026-10-04 03:00 | 04 01:30, 04 01:45, 04 02:30, 04 02:45
Australia/Lord_Howe | 15 * * * * | 2026-10-04 01:00 | 2026-10-04 04:00 | 04 01:15, 04 02:30, 04 03:15
Australia/Lord_Howe | 45 1 * * * | 2026-04-04 12:00 | 2026-04-06 12:00 | 05 01:45+11, 06 01:45
Australia/Lord_Howe | */15 * * * * | 2026-04-05 01:15 | 2026-04-05 02:15 | 05 01:15, 05 01:30+11, 05 01:45+11, 05 01:30+1030, 05 01:45+1030, 05 02:00
Australia/Lord_Howe | 45 * * * * | 2026-04-05 01:00 | 2026-04-05 04:00 | 05 01:45+11, 05 02:45, 05 03:45
Australia/Lord_Howe | 0 2 * * * | 2026-04-04 12:00 | 2026-04-05 12:00 | 05 02:00
Pacific/Chatham | 50 2 * * * | 2026-09-26 12:00 | 2026-09-28 12:00 | 27 03:45, 28 02:50
Pacific/Chatham | 0 3 * * * | 2026-04-04 12:00 | 2026-04-06 12:00 | 05 03:00+1345, 06 03:00
Africa/Casablanca | 30 2 * * * | 2026-02-14 12:00 | 2026-02-16 12:00 | 15 02:30+01, 16 02:30
Africa/Casablanca | 0 2,4 * * * | 2026-02-14 12:00 | 2026-02-15 12:00 | 15 02:00+01, 15 04:00
Africa/Casablanca | 30 2 * * * | 2026-03-21 12:00 | 2026-03-23 12:00 | 22 03:00, 23 02:30
Africa/Cairo | 30 0 * * * | 2026-04-23 12:00 | 2026-04-25 12:00 | 24 01:00, 25 00:30
America/Sao_Paulo | 0 0 * * * | 2018-11-03 12:00 | 2018-11-05 12:00 | 04 01:00, 05 00:00
America/Sao_Paulo | 30 0 * * sun | 2018-11-03 12:00 | 2018-11-05 12:00 | 04 01:00
America/Sao_Paulo | */30 0-1 * * * | 2018-11-03 12:00 | 2018-11-04 12:00 | 04 01:00, 04 01:30
America/Sao_Paulo | 30 23 * * * | 2018-02-17 12:00 | 2018-02-18 23:59 | 17 23:30-02, 18 23:30
America/Sao_Paulo | 0 0 * * * | 2018-02-17 12:00 | 2018-02-18 12:00 | 18 00:00
Asia/Beirut | 0 0 * * * | 2023-03-25 12:00 | 2023-03-27 12:00 | 26 01:00, 27 00:00
Asia/Beirut | 15 0 26 3 * | 2023-03-25 12:00 | 2023-03-27 12:00 | 26 01:00
America/Havana | 30 0 * * * | 2026-10-31 12:00 | 2026-11-02 12:00 | 01 00:30-04, 02 00:30
America/Santiago | 0 0 * * * | 2026-09-05 12:00 | 2026-09-07 12:00 | 06 01:00, 07 00:00
America/St_Johns | 30 0 * * * | 2010-03-13 12:00 | 2010-03-15 12:00 | 14 01:01, 15 00:30
America/St_Johns | 0 0 * * * | 2010-11-06 12:00 | 2010-11-08 12:00 | 07 00:00-0230, 08 00:00
America/St_Johns | 30 23 * * * | 2010-11-06 12:00 | 2010-11-07 23:59 | 06 23:30-0230, 07 23:30
Asia/Kathmandu | 5 0 * * * | 1985-12-31 12:00 | 1986-01-02 12:00 | 01 00:15, 02 00:05
Asia/Tehran | 0 0 * * * | 2022-03-21 12:00 | 2022-03-23 12:00 | 22 01:00, 23 00:00
Asia/Pyongyang | 45 23 * * * | 2018-05-03 12:00 | 2018-05-05 12:00 | 03 23:45, 05 00:00
America/Caracas | 45 2 * * * | 2007-12-08 12:00 | 2007-12-10 12:00 | 09 02:45-04, 10 02:45
Antarctica/Troll | 30 1 * * * | 2026-03-28 12:00 | 2026-03-30 12:00 | 29 03:00, 30 01:30
Antarctica/Troll | 0 */2 * * * | 2026-03-29 00:00 | 2026-03-29 07:00 | 29 00:00, 29 04:00, 29 06:00
Pacific/Apia | 30 2 * * * | 2011-12-29 00:00 | 2011-12-31 12:00 | 29 02:30, 31 02:30
Pacific/Apia | 30 2 30 * * | 2011-12-29 00:00 | 2011-12-31 12:00 | 31 00:00
Asia/Kolkata | 30 2 * * * | 2026-03-28 12:00 | 2026-03-29 12:00 | 29 02:30
UTC | 30 2 * * * | 2026-03-28 12:00 | 2026-03-29 12:00 | 29 02:30
""".splitlines()]  # fmt: skip


def between(expression, zone, begin, end):
    of = rules.slots(Timing(cron=expression, zone=zone))
    return list(takewhile(lambda slot: slot < end, of.walk(begin - INSTANT)))


def test_the_table_is_long_enough():
    assert len(TABLE) >= 60
    assert len({row[0] for row in TABLE}) >= 20


@pytest.mark.parametrize(
    ("zone", "expression", "begin", "end", "expected"), TABLE, ids=[" ".join(row[:3]) for row in TABLE]
)
def test_slots_around_clock_changes(zone, expression, begin, end, expected):
    clock = ZoneInfo(zone)
    begin, end = (
        datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=clock).astimezone(UTC) for text in (begin, end)
    )
    found = [slot.astimezone(clock) for slot in between(expression, zone, begin, end)]
    wanted = expected.split(", ")
    assert len(found) == len(wanted), found
    for slot, text in zip(found, wanted, strict=True):
        offset = f"{slot:%z}".removesuffix("00") if len(text) <= 11 else f"{slot:%z}"
        assert f"{slot:%d %H:%M}{offset if len(text) > 8 else ''}" == text


ZONES = ["Europe/Berlin", "Europe/London", "Europe/Dublin", "America/New_York", "America/St_Johns", "America/Sao_Paulo",
    "America/Havana", "America/Santiago", "America/Caracas", "Australia/Lord_Howe", "Australia/Sydney",
    "Pacific/Chatham", "Pacific/Apia", "Pacific/Auckland", "Africa/Casablanca", "Africa/Cairo", "Asia/Beirut",
    "Asia/Tehran", "Asia/Gaza", "Asia/Pyongyang", "Asia/Amman", "Antarctica/Troll", "Antarctica/Casey",
    "America/Argentina/San_Luis", "Europe/Volgograd", "Asia/Kolkata", "UTC"]  # fmt: skip


def random_expression(dice):
    def field(low, high, *, wild):
        kind = dice.random()
        if kind < wild:
            return "*"
        if kind < wild + 0.2:
            return f"*/{dice.choice([2, 3, 5, 6, 10, 15, 20, 30])}" if high > 30 else f"*/{dice.randint(2, 6)}"
        if kind < wild + 0.35:
            first = dice.randint(low, high)
            return f"{first}-{dice.randint(first, high)}" + (f"/{dice.randint(1, 4)}" if dice.random() < 0.4 else "")
        return ",".join(str(dice.randint(low, high)) for _ in range(dice.choice([1, 1, 1, 2, 3])))

    day = field(1, 31, wild=0.8)
    month = "*" if dice.random() < 0.9 else field(1, 12, wild=0.2)
    weekday = "*" if dice.random() < 0.7 else dice.choice([field(0, 7, wild=0.1), "mon-fri", "sun", "sat,sun"])
    return " ".join((field(0, 59, wild=0.15), field(0, 23, wild=0.35), day, month, weekday))


def random_cases():
    dice = random.Random(SEED)
    changes = {}
    for number in range(CASES):
        zone, year = dice.choice(ZONES), dice.choice([2007, 2008, 2010, 2011, 2014, 2018, 2020, 2023, 2026, 2030])
        if (zone, year) not in changes:
            changes[zone, year] = oracle.days_of_change(zone, year)
        days = changes[zone, year]
        near = oracle.midnight(dice.choice(days)) if days else datetime(year, 6, 1, tzinfo=UTC)
        begin = near + timedelta(minutes=dice.randint(-1800, 1000))
        yield number, zone, random_expression(dice), begin, begin + timedelta(minutes=dice.randint(300, 2600))


def test_random_schedules_agree_with_a_clock_that_is_watched():
    slots = 0
    for number, zone, expression, begin, end in random_cases():
        wanted = oracle.slots(expression, zone, begin, end)
        try:
            of = rules.slots(Timing(cron=expression, zone=zone))
        except BadCronError:
            assert wanted == [], "it never comes, as it says"
            continue
        case = (number, SEED, zone, expression, begin.isoformat(), end.isoformat())
        assert between(expression, zone, begin, end) == wanted, case
        assert of.count(begin - INSTANT, end - INSTANT) == len(wanted), case
        assert rules.newest(of, begin - INSTANT, end - INSTANT, 3) == wanted[-3:], case
        slots += len(wanted)
    assert slots > CASES
