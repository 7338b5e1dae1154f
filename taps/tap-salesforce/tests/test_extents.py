"""What a run wants of records that are out already, and did not come with them, comes: Salesforce moves no stamp."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sandboxes.salesforce import LocalOrg
from tap_salesforce.auth import Session
from tap_salesforce.errors import ConfigError, JobError
from tap_salesforce.extents import Extent
from tap_salesforce.tap import TapSalesforce

FEW = {"Contact": 300, "Account": 20, "User": 5, "Lead": 60, "Opportunity": 0, "Invoice__c": 0}


@pytest.fixture
def own_org():
    """An org whose clock the tests move, and whose sessions outlive that."""
    with LocalOrg(counts=FEW, token_lifetime=1e8) as org:
        org.clock.freeze(datetime(2027, 1, 4, 2, tzinfo=UTC))
        yield org


@pytest.fixture
def sync(own_org, configure, run):
    """Contacts and leads, an hour later than before; without some fields, and with settings."""

    def once(state=None, *, without=(), **settings):
        own_org.clock.advance(3600)
        config = configure(own_org, streams=["Lead", "Contact"], **settings)
        catalog = TapSalesforce(config=config).catalog_dict
        for entry in catalog["streams"]:
            for part in entry["metadata"]:
                if list(part["breadcrumb"])[-1:] in [[name] for name in without]:
                    part["metadata"]["selected"] = False
        return run(config, catalog=catalog, state=state)

    return once


def values(out, stream, field):
    return {record["Id"]: record.get(field) for record in out.records(stream)}


@pytest.mark.parametrize("api", ["REST", "BULK2"])
def test_a_field_selected_later_comes_of_all_records_once(sync, caplog, api):
    caplog.set_level("INFO")
    whole = sync(api_type=api)
    first = sync(api_type=api, without=["Title"])
    second = sync(first.states()[-1], api_type=api)
    for stream in ("Lead", "Contact"):
        assert values(second, stream, "Title") == values(whole, stream, "Title")
    assert "All records of Lead are read again: earlier runs did not read Title." in caplog.text
    third = sync(second.states()[-1], api_type=api)
    assert not third.records("Lead") and not third.records("Contact")


def test_a_field_that_is_wanted_no_more_costs_nothing(sync):
    first = sync()
    second = sync(first.states()[-1], without=["Title"])
    assert not second.records("Lead") and not second.records("Contact")


def test_a_field_that_was_away_for_a_while_is_read_again_and_no_other_stream_is(own_org, sync):
    first = sync()
    title = own_org.store.sobject("Lead").find("Title")
    own_org.replace_field("Lead", "Title", replace(title, name="Headline"))
    away = sync(first.states()[-1], without=["Headline"])
    assert not away.records("Lead")
    own_org.replace_field("Lead", "Headline", title)
    again = sync(away.states()[-1])
    assert values(again, "Lead", "Title") == values(first, "Lead", "Title")
    assert not again.records("Contact")


def test_an_earlier_start_brings_what_is_older(sync):
    first = sync(start_date="2024-01-01")
    assert 0 < len(first.ids("Contact")) < 300
    second = sync(first.states()[-1], start_date="2020-01-01")
    assert len(second.ids("Contact")) == 300
    third = sync(second.states()[-1], start_date="2025-01-01")
    assert not third.records("Contact")
    assert not sync(third.states()[-1], start_date="2020-01-01").records("Contact"), "it left nothing out"


def test_a_later_start_while_the_first_reading_is_under_way_leaves_out_what_is_older(own_org, sync, run):
    own_org.faults.add("job_failed", nth=3, path=r"/jobs/query/?$", method="POST")
    with pytest.raises(JobError):
        sync(window_rows=10, rest_below_rows=0)
    later = sync(run.partial.states()[-1], start_date="2025-06-01", window_rows=10)
    assert len(run.partial.ids("Contact").keys() | later.ids("Contact").keys()) < 300
    assert len(sync(later.states()[-1]).ids("Contact")) == 300


def test_the_recycle_bin_comes_whole_where_it_was_left_out(own_org, sync):
    first = sync(include_deleted=False)
    gone = own_org.delete("Contact", 7)
    second = sync(first.states()[-1], include_deleted=False)
    assert not set(gone) & second.ids("Contact").keys()
    third = sync(second.states()[-1], include_deleted=True)
    marked = {record["Id"] for record in third.records("Contact") if record["IsDeleted"]}
    assert marked >= set(gone)


def test_an_interrupted_reading_goes_on_where_it_was(own_org, sync, run):
    first = sync(without=["Title"], window_rows=50)
    own_org.faults.add("job_failed", nth=4, path=r"/jobs/query/?$", method="POST")
    with pytest.raises(JobError):
        sync(first.states()[-1], window_rows=50, rest_below_rows=0)
    cut, state = run.partial, run.partial.states()[-1]
    rest = sync(state, window_rows=50, rest_below_rows=0)
    for stream, count in (("Lead", 60), ("Contact", 300)):
        assert len(cut.ids(stream).keys() | rest.ids(stream).keys()) == count
    assert sum(rest.ids("Lead").values()) + sum(rest.ids("Contact").values()) < 360
    assert not sync(rest.states()[-1]).records("Contact")
    assert "filling" not in rest.bookmark("Lead")


def test_an_interrupted_reading_begins_anew_where_still_more_is_wanted(own_org, sync, run):
    first = sync(without=["Title", "Department"], window_rows=10)
    own_org.faults.add("job_failed", nth=4, path=r"/jobs/query/?$", method="POST")
    with pytest.raises(JobError):
        sync(first.states()[-1], without=["Department"], window_rows=10, rest_below_rows=0)
    assert "filling_until" in run.partial.bookmark("Contact")
    rest = sync(run.partial.states()[-1], window_rows=10)
    assert len(values(rest, "Contact", "Department")) == 300


def test_a_first_reading_that_was_interrupted_before_the_field_was_selected_is_made_whole(own_org, sync, run):
    own_org.faults.add("job_failed", nth=3, path=r"/jobs/query/?$", method="POST")
    with pytest.raises(JobError):
        sync(without=["Title"], window_rows=10, rest_below_rows=0)
    begun = run.partial.ids("Contact")
    assert begun and len(begun) < 300
    rest = sync(run.partial.states()[-1], window_rows=10)
    assert len(values(rest, "Contact", "Title")) == 300


def test_a_state_of_an_older_version_is_taken_for_whole(sync):
    state = sync().states()[-1]
    for bookmark in state["bookmarks"].values():
        del bookmark["read_with"]
    out = sync(state)
    assert not out.records("Contact")
    assert "Title" in out.bookmark("Contact")["read_with"].split()


def test_formulas_are_as_fresh_as_a_reading_for_something_else(sync):
    first = sync(without=["Title"], formula_refresh="daily")
    second = sync(first.states()[-1], formula_refresh="daily")
    assert second.bookmark("Contact")["formulas_read_at"] > first.bookmark("Contact")["formulas_read_at"]


def test_a_bookmark_of_another_org_is_refused_and_a_full_refresh_goes_on_here(own_org, sync, monkeypatch):
    first = sync()
    assert first.bookmark("Contact")["read_of"] == own_org.app.org_id[:15]
    monkeypatch.setattr(own_org.app, "org_id", "00DLs0000000999MAA")
    own_org.revoke_sessions()
    with pytest.raises(ConfigError, match="so far; this sign-in leads to the org 00DLs0000000999"):
        sync(first.states()[-1])
    assert len(sync().ids("Contact")) == 300


def test_a_session_that_does_not_tell_its_org_is_of_none():
    assert Session("eyJ0eXAi.abc!d", "https://x").org is None
    assert Session("00DLs0000000999!AQ", "https://x").org == "00DLs0000000999"


@pytest.mark.parametrize("start", [None, datetime(2020, 1, 1, tzinfo=UTC)])
@pytest.mark.parametrize("deleted", [True, False])
def test_what_the_state_says_is_read_as_it_was_written(start, deleted):
    extent = Extent(start=start, deleted=deleted, fields=frozenset({"Id", "Name"}))
    assert Extent.of({"read_with": extent.text}) == extent


@pytest.mark.parametrize("text", ["", "always", "always maybe Id", "yesterday bin Id"])
def test_a_state_that_nobody_can_read_is_refused(text):
    with pytest.raises(ConfigError, match="read_with"):
        Extent.of({"read_with": text})
