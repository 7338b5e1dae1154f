"""With an end date exactly the records of that window come, once, and nothing else is asked of the org."""

from datetime import UTC, datetime

import pytest

from tap_salesforce.windows import plan

APIS = pytest.mark.parametrize("api", ["REST", "BULK2"])


@pytest.fixture
def window(org):
    """A third of the contacts' changes: from and until."""
    stamps = sorted(stamp for (stamp,) in org.store.rows('SELECT "SystemModstamp" FROM "Contact"'))
    return stamps[len(stamps) // 3][:10], stamps[2 * len(stamps) // 3][:10]


def within(org, first, end):
    rows = org.store.rows('SELECT "Id", "SystemModstamp" FROM "Contact"')
    return {one for one, stamp in rows if first <= stamp[:10] < end}


@APIS
def test_what_changed_within_the_window_comes_once(org, configure, run, window, api):
    out = run(configure(org, api_type=api, start_date=window[0], end_date=window[1], window_rows=50))
    assert out.ids("Contact").keys() == within(org, *window) != set()
    assert out.ids("Contact").total() == len(out.ids("Contact"))
    assert set(out.bookmark("Contact")) == {"replication_key", "replication_key_value", "read_with", "read_of"}
    assert out.bookmark("Contact")["replication_key_value"][:10] == window[1]
    assert not any("/deleted" in asked for asked in org.stats.shown()["requests"])


def test_requests_are_counted_by_stream(org, configure, run, caplog):
    caplog.set_level("INFO")
    run(configure(org))
    points = [record.args[0] for record in caplog.records if record.name == "singer_sdk.metrics" and record.args]
    counted = [one for one in points if one.metric.value == "http_request_count"]
    assert 0 < sum(one.value for one in counted) <= sum(org.stats.shown()["requests"].values())
    assert {one.tags["stream"] for one in counted} == {"Contact"}


def test_a_reading_that_was_interrupted_goes_on_where_it_was(org, configure, run, window):
    config = configure(org, start_date=window[0], end_date=window[1], window_rows=50)
    states = run(config).states()
    half = next(state for state in states if "unfinished_since" in state["bookmarks"]["Contact"])
    before = half["bookmarks"]["Contact"]["replication_key_value"]
    rest = run(config, state=half)
    stamps = [record["SystemModstamp"] for record in rest.records("Contact")]
    assert min(stamps)[:19] >= before[:19]
    assert len(stamps) < len(within(org, *window))
    assert rest.bookmark("Contact") == states[-1]["bookmarks"]["Contact"]


def test_one_that_is_complete_reads_nothing_more(org, configure, run, window):
    config = configure(org, start_date=window[0], end_date=window[1])
    done = run(config).states()[-1]
    assert not run(config, state=done).records("Contact")


def test_an_end_that_is_still_to_come_is_now(org, configure, run):
    out = run(configure(org, end_date="2100-01-01"))
    assert datetime.fromisoformat(out.bookmark("Contact")["replication_key_value"]) <= datetime.now(UTC)


def test_every_window_is_bounded():
    start, end = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC)
    asked = []
    found = list(plan("At", start, end, size=10, count=lambda *span: asked.append(span) or 100, open_end=False))
    assert (found[0].span.lower, found[-1].span.upper, found[-1].closes) == (start, end, end)
    assert all(upper is not None for _, upper in asked)
