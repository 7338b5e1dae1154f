from datetime import timedelta

import pytest

from orchestrator.kernel import durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("90", 90), ("15m", 900), ("2h", 7200), ("1h30m", 5400), (" 1H ", 3600), ("1h1m1s", 3661)],
)
def test_durations_are_read_as_people_write_them(text, seconds):
    assert durations.parse(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "0", "0s", "-5s", "soon", "5 minutes", "1.5h", "31d", "800h", "99999999999h", "m"]
)
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="duration"):
        durations.parse(text)


@pytest.mark.parametrize(("seconds", "text"), [(0, "0 s"), (45, "45 s"), (5400, "1 h 30 min"), (3661, "1 h 1 min 1 s")])
def test_durations_are_said_as_people_say_them(seconds, text):
    assert durations.spoken(timedelta(seconds=seconds)) == text


def test_what_is_kept_may_be_kept_for_longer_than_anything_is_waited_for():
    assert durations.parse("90d", longest=durations.A_CENTURY) == timedelta(days=90)
    assert durations.parse("1d12h") == timedelta(hours=36)
    assert durations.spoken(timedelta(days=90)) == "90 d"
    assert durations.spoken(timedelta(days=1)) == "24 h"
    with pytest.raises(ValueError, match="up to 30 days"):
        durations.parse("90d")
