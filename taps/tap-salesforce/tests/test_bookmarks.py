"""What a run begins with and leaves behind."""

from datetime import UTC, datetime, timedelta

import pytest

from tap_salesforce.bookmarks import begin
from tap_salesforce.errors import ConfigError

KEY = "SystemModstamp"
NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)
BACK = timedelta(minutes=5)
START = datetime(2024, 1, 1, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


def started(state, *, start=START, lookback=BACK, now=NOW):
    return begin(state, KEY, start=start, lookback=lookback, now=now)


def mark(moment: datetime, **more: str) -> dict[str, str]:
    return {"replication_key": KEY, "replication_key_value": moment.strftime("%Y-%m-%dT%H:%M:%SZ"), **more}


def test_the_first_run_begins_at_the_start_date_and_ends_with_a_plain_bookmark():
    first = started({})
    assert first.lower == START
    assert first.finished().marks == mark(NOW)


def test_only_a_state_that_knows_nothing_is_followed_by_a_first_reading():
    assert (
        started({}).first and started({"replication_key": "CreatedDate", "replication_key_value": "2026-01-01"}).first
    )
    assert not started(mark(NOW)).first and not started(started({}).closed(at(-9)).marks).first


def test_without_a_start_date_everything_is_read():
    assert started({}, start=None).lower is None


def test_a_run_after_a_finished_one_looks_back():
    assert started(mark(at(-60))).lower == at(-65)


def test_a_closed_window_is_where_an_interrupted_run_goes_on_without_look_back():
    state = started({}).closed(at(-1000)).marks
    assert state == mark(at(-1000), unfinished_since="2026-11-21T08:00:00Z")
    assert started(state, now=at(3)).lower == at(-1000)


def test_old_windows_need_no_second_look_after_a_resume():
    state = started({}).closed(at(-1000)).marks
    assert started(state, now=at(3)).finished().marks == mark(at(3))


def test_young_windows_of_an_interrupted_run_are_looked_at_again_by_the_run_after_the_resumed_one():
    state = started({}).closed(at(-2)).marks
    resumed = started(state, now=at(30))
    assert resumed.lower == at(-2)
    assert resumed.finished().marks == mark(at(30), reread_from="2026-11-21T08:00:00Z")
    after = started(resumed.finished().marks, now=at(60))
    assert after.lower == at(-5)
    assert after.finished().marks == mark(at(60))


def test_the_start_date_is_never_undercut():
    assert started(mark(START)).lower == START
    assert started(mark(START - BACK, unfinished_since="2026-11-21T08:00:00Z")).lower == START


def test_a_bookmark_of_another_key_is_not_used():
    assert started({"replication_key": "CreatedDate", "replication_key_value": "2026-01-01"}).lower == START


def test_a_bookmark_ahead_of_salesforces_clock_does_not_go_back():
    assert started(mark(at(10))).finished().marks == mark(at(10))


@pytest.mark.parametrize("text", ["2026-11-21", "2026-11-21T00:00:00", "2026-11-21T00:00:00.000000+00:00"])
def test_bookmarks_of_other_taps_are_understood(text):
    assert started({"replication_key": KEY, "replication_key_value": text}).lower == at(-485)


def test_an_unreadable_bookmark_is_said_so():
    with pytest.raises(ConfigError, match=r"replication_key_value is not a time.*Reset"):
        started({"replication_key": KEY, "replication_key_value": "yesterday"})
