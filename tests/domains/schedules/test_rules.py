from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from orchestrator.domains.schedules import rules
from orchestrator.domains.schedules.errors import BadCronError
from orchestrator.domains.schedules.types import Policy, Timing

MONDAY = datetime(2026, 11, 23, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def test_an_interval_keeps_to_its_anchor_whenever_it_is_asked():
    of = rules.slots(Timing(every=45 * MINUTE, anchor=MONDAY))
    late = MONDAY + timedelta(days=400, minutes=7)
    found = list(islice(of.walk(late), 3))
    assert all((slot - MONDAY) % (45 * MINUTE) == timedelta(0) for slot in found)
    assert found[1] - found[0] == 45 * MINUTE
    assert of.count(MONDAY, MONDAY + timedelta(days=1)) == 32


def test_jitter_differs_between_slots_and_is_always_the_same_for_one():
    policy = Policy(jitter=timedelta(seconds=300))
    slots = [MONDAY + timedelta(hours=hour) for hour in range(200)]
    delays = [rules.delayed("sch_a", policy, slot) - slot for slot in slots]
    assert delays == [rules.delayed("sch_a", policy, slot) - slot for slot in slots]
    assert delays != [rules.delayed("sch_b", policy, slot) - slot for slot in slots]
    assert all(timedelta(0) <= delay <= policy.jitter for delay in delays)
    assert len(set(delays)) > 50
    assert sum(delays, timedelta(0)) / len(delays) == pytest.approx(timedelta(seconds=150), abs=timedelta(seconds=30))


@pytest.mark.parametrize(
    ("window", "moment", "shut"),
    [
        ("mon-fri 08:00-18:00", MONDAY + timedelta(hours=8), True),
        ("mon-fri 08:00-18:00", MONDAY + timedelta(hours=18), False),
        ("mon-fri 08:00-18:00", MONDAY - timedelta(hours=12), False),
        ("22:00-06:00", MONDAY + timedelta(hours=23), True),
        ("22:00-06:00", MONDAY + timedelta(hours=5, minutes=59), True),
        ("22:00-06:00", MONDAY + timedelta(hours=6), False),
        ("sun 22:00-06:00", MONDAY + timedelta(hours=3), True),
        ("mon 22:00-06:00", MONDAY + timedelta(hours=3), False),
        ("fri-mon 00:00-24:00", MONDAY, True),
        ("sat,sun 00:00-24:00", MONDAY, False),
    ],
)
def test_blackout_windows(window, moment, shut):
    assert rules.blocked(Policy(blackout=(window,)), "UTC", moment) is shut


def test_blackouts_go_by_the_clocks_of_the_schedules_zone():
    policy = Policy(blackout=("mon 08:00-18:00",))
    assert rules.blocked(policy, "Europe/Berlin", MONDAY + timedelta(hours=7))
    assert not rules.blocked(policy, "Europe/Berlin", MONDAY + timedelta(hours=17))


@pytest.mark.parametrize("text", ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 31 2 */2"])
def test_a_day_that_never_comes_is_refused(text):
    with pytest.raises(BadCronError, match="never comes"):
        rules.parse(text)


def test_rare_days_are_found():
    leap = rules.slots(Timing(cron="0 0 29 2 *"))
    assert next(leap.walk(datetime(2096, 3, 1, tzinfo=UTC))).year == 2104
    assert next(rules.slots(Timing(cron="0 0 29 2 */7")).walk(MONDAY)) == datetime(2032, 2, 29, tzinfo=UTC)


@pytest.mark.parametrize(
    ("one", "other"),
    [("0 0 * * 7", "0 0 * * sun"), ("0 0 * * 5-7", "0 0 * * fri-sun"), ("@daily", "0 0 * * *"), ("@weekly", "0 0 * * 0"),
     ("0 0 1 JAN *", "@yearly"), ("*/15 * * * *", "0,15,30,45 * * * *"), ("0 0 * * 1-5", "0 0 * * mon-fri")],
)  # fmt: skip
def test_expressions_that_mean_the_same(one, other):
    first, second = (islice(rules.slots(Timing(cron=text)).walk(MONDAY), 50) for text in (one, other))
    assert list(first) == list(second)


def test_a_day_of_the_month_and_a_weekday_are_enough_each():
    slots = list(islice(rules.slots(Timing(cron="0 0 1 * mon")).walk(datetime(2026, 11, 20, tzinfo=UTC)), 4))
    assert [(slot.month, slot.day) for slot in slots] == [(11, 23), (11, 30), (12, 1), (12, 7)]
