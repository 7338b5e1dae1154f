"""Whether cost is a straight line over size."""

import pytest

from bench.salesforce.sizes import slopes


def test_a_straight_line_has_one_slope_wherever_it_starts():
    assert slopes([(10_000, 3.1), (100_000, 4.0), (1_000_000, 13.0)]) == pytest.approx([1.0, 1.0])


def test_what_grows_faster_than_the_records_shows():
    first, second = slopes([(10_000, 1.0), (100_000, 2.0), (1_000_000, 30.0)])
    assert second > 2 * first
