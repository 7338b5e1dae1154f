"""Formula fields whose results change without a trace are right again by the time the setting says."""

import csv
import gzip
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Timer
from urllib.parse import urlsplit

import pytest

from sandboxes.salesforce import LocalOrg
from tap_salesforce import bookmarks, formulas
from tap_salesforce.errors import JobError
from tap_salesforce.tap import TapSalesforce

DAY = 86_400
FEW = {"Contact": 400, "Account": 20, "User": 5, "Lead": 5, "Opportunity": 0, "Invoice__c": 0}
NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)
MARKS = {"replication_key", "replication_key_value", "read_with", "read_of", "formulas_read_at"}
START = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def own_org():
    """An org whose clock the tests move, and whose sessions outlive that."""
    with LocalOrg(counts=FEW, token_lifetime=1e8) as org:
        org.clock.freeze(datetime(2027, 1, 4, 2, tzinfo=UTC))
        yield org


@pytest.fixture
def stale(own_org):
    """Change every account's rating: a formula of each contact follows, and nothing says so."""

    def change(rating):
        own_org.update("Account", 20, {"Rating": rating})

    return change


@pytest.fixture
def sync(own_org, configure, run):
    def once(state=None, **changes):
        return run(configure(own_org, **changes), state=state)

    return once


def ratings(out):
    return {r["Account_Rating__c"] for r in out.records("Contact") if r["AccountId"]}


@pytest.mark.parametrize(
    ("policy", "days", "read"),
    [("daily", 0, False), ("daily", 1, True), ("weekly", 6, False), ("weekly", 7, True), ("every_run", 0, True),
     ("never", 400, False)],
)  # fmt: skip
def test_all_rows_come_again_whole_when_it_is_time(own_org, sync, stale, caplog, policy, days, read):
    caplog.set_level("INFO")
    first = sync(formula_refresh=policy)
    stale("Hot")
    own_org.clock.advance(days * DAY + 3600)
    second = sync(first.states()[-1], formula_refresh=policy)
    if not read:
        assert not second.ids("Contact")
        return
    assert second.ids("Contact").keys() == first.ids("Contact").keys()
    assert ratings(second) == {"Hot"}
    assert {frozenset(r) for r in second.records("Contact")} == {frozenset(r) for r in first.records("Contact")}
    assert "All records of Contact are read again for Account_Rating__c" in caplog.text
    assert "again took" in caplog.text


def test_a_first_reading_counts(own_org, sync):
    out = sync(formula_refresh="every_run")
    assert max(out.ids("Contact").values()) == 1
    assert out.bookmark("Contact")["formulas_read_at"] == "2027-01-04T02:00:00Z"


def test_the_bookmark_stays_and_the_changes_of_the_run_come_first(own_org, sync, stale):
    first = sync(formula_refresh="daily", window_rows=50)
    stale("Hot")
    own_org.clock.advance(DAY)
    (changed,) = own_org.update("Contact", 1, {"Title": "new"})
    second = sync(first.states()[-1], formula_refresh="daily", window_rows=50)
    assert second.records("Contact")[0]["Id"] == changed
    marks = [state["bookmarks"]["Contact"]["replication_key_value"] for state in second.states()]
    assert len(marks) > 8 and set(marks[1:]) == {bookmarks.iso(own_org.clock.now())}
    assert set(second.bookmark("Contact")) == MARKS


def test_an_interrupted_reading_goes_on_where_it_was(own_org, sync, stale, run):
    first = sync(formula_refresh="daily", window_rows=50)
    stale("Hot")
    own_org.clock.advance(DAY)
    own_org.faults.add("job_failed", nth=4)
    with pytest.raises(JobError):
        sync(first.states()[-1], formula_refresh="daily", window_rows=50)
    cut, state = run.partial, run.partial.states()[-1]
    own_org.clock.advance(600)
    rest = sync(state, formula_refresh="daily", window_rows=50)
    assert cut.ids("Contact").keys() | rest.ids("Contact").keys() == first.ids("Contact").keys()
    assert cut.ids("Contact") and len(rest.ids("Contact")) < 400
    assert rest.bookmark("Contact")["formulas_read_at"] == "2027-01-05T02:00:00Z"
    assert not sync(rest.states()[-1], formula_refresh="daily").ids("Contact")


def test_streams_without_a_selected_formula_are_left_alone(own_org, sync, configure, run, stale):
    config = configure(own_org, streams=["Lead", "Contact"], formula_refresh="every_run")
    catalog = TapSalesforce(config=config).catalog_dict
    for entry in catalog["streams"]:
        for part in entry["metadata"]:
            if part["breadcrumb"][-1:] == ["Account_Rating__c"] or part["breadcrumb"][-1:] == ("Account_Rating__c",):
                part["metadata"]["selected"] = False
    first = run(config, catalog=catalog)
    stale("Hot")
    own_org.clock.advance(DAY)
    assert not run(config, catalog=catalog, state=first.states()[-1]).records("Contact")
    assert "formulas_read_at" not in first.bookmark("Contact") | first.bookmark("Lead")


def test_a_state_from_before_the_setting_is_followed_by_a_reading(own_org, sync, stale):
    state = sync(formula_refresh="never").states()[-1]
    assert "formulas_read_at" not in state["bookmarks"]["Contact"]
    stale("Cold")
    assert ratings(sync(state)) == {"Cold"}


@pytest.fixture
def into_files(own_org, configure, tmp_path):
    """Sync by the tap's command, as csv+gzip batches; (rows of all files, the last state). Files go as they are said."""

    def once(state):
        encoding, storage = {"format": "csv", "compression": "gzip"}, {"root": (tmp_path / "batches").as_uri()}
        small = {"window_rows": 50, "bulk_page_rows": 50, "batch_storage_mb": 1}
        config = configure(own_org, formula_refresh="daily", batch_config={"encoding": encoding, "storage": storage})
        for name, value in (("config", config | small), ("state", state)):
            (tmp_path / name).write_text(json.dumps(value))
        command = [
            sys.executable,
            "-m",
            "tap_salesforce",
            "--config",
            tmp_path / "config",
            "--state",
            tmp_path / "state",
        ]
        rows = []
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as tap:
            patience = Timer(60, tap.kill)
            patience.start()
            for message in map(json.loads, tap.stdout):
                if message["type"] == "STATE":
                    state = message["value"]
                for name in message.get("manifest", ()):
                    path = Path(urlsplit(name).path)
                    with gzip.open(path, "rt", newline="") as file:
                        rows += csv.DictReader(file)
                    path.unlink()
            patience.cancel()
        assert tap.returncode == 0
        assert not list((tmp_path / "batches").iterdir())
        return rows, state

    return once


def test_all_rows_come_again_in_files_behind_the_changes(own_org, into_files, stale):
    first, state = into_files({})
    stale("Hot")
    own_org.clock.advance(DAY)
    (changed,) = own_org.update("Contact", 1, {"Title": "new"})
    second, state = into_files(state)
    assert second[0]["Id"] == changed
    assert len(first) == 400 and sorted(row["Id"] for row in second[1:]) == sorted(row["Id"] for row in first)
    assert {row["Account_Rating__c"] for row in second if row["AccountId"]} == {"Hot"}
    assert state["bookmarks"]["Contact"]["formulas_read_at"] == "2027-01-05T02:00:00Z"
    third, _ = into_files(state)
    assert [row["Id"] for row in third] == [changed], "no more than the look-back"


@pytest.mark.parametrize(
    ("state", "policy", "lower"),
    [
        ({}, "weekly", START),
        ({"formulas_read_at": "2026-11-20T23:59:00Z"}, "daily", START),
        ({"formulas_read_at": "2026-11-21T00:01:00Z"}, "daily", None),
        ({"formulas_read_at": "2026-11-14T09:00:00Z"}, "weekly", START),
        ({"formulas_read_at": "2026-11-15T07:00:00Z"}, "weekly", None),
        (
            {"formulas_read_at": "2026-11-21T07:00:00Z", "formulas_read_until": "2024-01-01T00:00:00Z"},
            "weekly",
            datetime(2024, 1, 1, tzinfo=UTC),
        ),
        ({"formulas_read_at": "2026-11-21T07:00:00Z", "formulas_read_until": "2000-01-01T00:00:00Z"}, "daily", START),
        ({"formulas_read_at": "2020-11-21T07:00:00Z", "formulas_read_until": "2024-01-01T00:00:00Z"}, "never", None),
    ],
)
def test_when_it_is_due_and_from_where_on(state, policy, lower):
    found = formulas.due(state, policy, start=START, now=NOW)
    assert (found and found.lower) == lower


def test_without_a_start_date_it_reads_from_the_beginning():
    found = formulas.due({}, "daily", start=None, now=NOW)
    assert found and found.lower is None and found.since == NOW
    assert found.closed(NOW - timedelta(days=9)).marks["formulas_read_until"] == "2026-11-12T08:00:00Z"
