"""Windows cover all of time once, in order, and are never larger than asked for unless they cannot be cut."""

import random
from bisect import bisect_left
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from tap_salesforce.windows import plan

LOWER, UPPER = datetime(2021, 1, 1, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC)
SECONDS = int((UPPER - LOWER).total_seconds())
ROWS, SIZE = 20_000, 1_000
rng = random.Random(7)

SPREADS = {
    "evenly": [rng.randrange(SECONDS) for _ in range(ROWS)],
    "more and more": [int(SECONDS * (1 - rng.random() ** 6)) for _ in range(ROWS)],
    "in the last hour": [SECONDS - rng.randrange(1, 3600) for _ in range(ROWS)],
    "within ten minutes long ago": [SECONDS // 3 + rng.randrange(600) for _ in range(ROWS)],
    "in twenty nights": [(n % 20) * SECONDS // 20 + rng.randrange(60) for n in range(ROWS)],
}


class Counted:
    """Counts stamps and the questions asked."""

    def __init__(self, seconds: list[int]) -> None:
        self.stamps = sorted(LOWER + timedelta(seconds=s) for s in seconds)
        self.asked = 0

    def within(self, lower: datetime | None, upper: datetime | None) -> int:
        first = 0 if lower is None else bisect_left(self.stamps, lower)
        return (len(self.stamps) if upper is None else bisect_left(self.stamps, upper)) - first

    def __call__(self, lower: datetime | None, upper: datetime | None) -> int | None:
        self.asked += 1
        return self.within(lower, upper)


def planned(counted: Counted, lower: datetime | None = LOWER):
    found = list(plan("SystemModstamp", lower, UPPER, size=SIZE, count=counted))
    assert found[0].span.lower == lower
    assert found[-1].span.upper is None and found[-1].closes == UPPER
    for window, after in pairwise(found):
        assert window.span.upper == window.closes == after.span.lower
    return found


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("lower", [LOWER, None], ids=["from a date", "from the beginning"])
def test_windows_stay_within_their_size_at_the_cost_of_few_counts(spread, lower):
    counted = Counted(SPREADS[spread])
    found = planned(counted, lower)
    sizes = [counted.within(w.span.lower, w.span.upper) for w in found]
    assert sum(sizes) == ROWS and max(sizes) <= SIZE
    assert [w.rows for w in found] == sizes
    assert len(found) <= 2 * ROWS / SIZE
    assert counted.asked <= 4 * ROWS / SIZE


def test_a_large_stream_gets_larger_windows_instead_of_more():
    counted = Counted(SPREADS["evenly"])
    found = list(plan("SystemModstamp", LOWER, UPPER, size=10, count=counted))
    assert 40 <= len(found) <= 80 and max(w.rows for w in found) <= ROWS / 40


def test_rows_of_one_second_are_one_window():
    counted = Counted([12_345_678] * ROWS)
    found = planned(counted)
    assert max(w.rows for w in found) == ROWS
    assert counted.asked <= 54


def test_rows_of_a_few_seconds_are_cut_at_each_second():
    counted = Counted([777_777 + rng.randrange(5) for _ in range(ROWS)])
    assert max(w.rows for w in planned(counted)) < ROWS / 4


def test_an_empty_or_small_stream_is_one_window_and_one_count():
    for seconds in ([], [5, 6, SECONDS - 1]):
        counted = Counted(seconds)
        (window,) = planned(counted)
        assert (window.rows, counted.asked) == (len(seconds), 1)


def test_where_salesforce_cannot_count_time_is_halved_until_it_can():
    class Reluctant(Counted):
        def __call__(self, lower, upper):
            rows = super().__call__(lower, upper)
            return None if (upper or UPPER) - (lower or LOWER) > timedelta(days=400) else rows

    counted = Reluctant(SPREADS["evenly"])
    found = planned(counted)
    assert sum(counted.within(w.span.lower, w.span.upper) for w in found) == ROWS
    assert max(w.rows or 0 for w in found) <= SIZE


def test_an_hour_that_cannot_be_counted_is_read_as_it_is():
    counted = Counted([])
    lower = UPPER - timedelta(hours=1)
    (window,) = plan("SystemModstamp", lower, UPPER, size=SIZE, count=lambda *_: None)
    assert window.rows is None and counted.asked == 0


def test_a_start_after_now_is_one_open_window():
    (window,) = plan("SystemModstamp", UPPER + timedelta(days=9), UPPER, size=SIZE, count=lambda *_: 0)
    assert window.span.lower == UPPER + timedelta(days=9) and window.span.upper is None


@pytest.mark.parametrize("spread", SPREADS)
def test_the_first_of_several_windows_is_small_and_not_empty(spread):
    counted = Counted(SPREADS[spread])
    found = list(plan("SystemModstamp", LOWER, UPPER, size=SIZE, first_size=100, most=400, count=counted))
    sizes = [counted.within(w.span.lower, w.span.upper) for w in found]
    assert 0 < sizes[0] <= 100 and sum(sizes) == ROWS and max(sizes) <= SIZE
    small = Counted([5, 6, 7])
    assert len(list(plan("SystemModstamp", LOWER, UPPER, size=SIZE, first_size=1, count=small))) == 1
