"""What comes out is what the org holds, by either API, and STATE never runs ahead of it."""

import gzip
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from sandboxes.salesforce import LocalOrg
from sandboxes.salesforce.objects import DEFAULT_COUNTS
from sandboxes.salesforce.schema import SObject, field
from tap_salesforce.errors import ConfigError, SchemaError
from tap_salesforce.tap import TapSalesforce

MARKS = {"replication_key", "replication_key_value", "read_with", "read_of", "formulas_read_at"}
APIS = pytest.mark.parametrize("api", ["REST", "BULK2"])


def everything(org, name: str) -> Counter:
    """Ids of all records, the deleted ones too."""
    return Counter(i for (i,) in org.store.rows(f'SELECT "Id" FROM "{name}"'))


@APIS
def test_every_record_comes_once_and_the_bookmark_is_a_bound(org, configure, run, api):
    before = datetime.now(UTC).replace(microsecond=0)
    out = run(configure(org, api_type=api))
    assert out.ids("Contact") == everything(org, "Contact")
    assert set(out.bookmark("Contact")) == MARKS
    assert out.bookmark("Contact")["replication_key"] == "SystemModstamp"
    assert before - timedelta(seconds=2) <= datetime.fromisoformat(out.bookmark("Contact")["replication_key_value"])


def test_both_apis_give_the_same_records(org, configure, run):
    streams = ["Contact", "Invoice__c", "Opportunity"]
    rest, bulk = (run(configure(org, api_type=api, streams=streams)) for api in ("REST", "BULK2"))
    for stream in streams:
        by_id = {record["Id"]: record for record in rest.records(stream)}
        assert by_id == {record["Id"]: record for record in bulk.records(stream)}
        assert by_id


def test_bulk_really_is_used_and_leaves_no_job_behind(org, configure, run):
    run(configure(org))
    asked = org.stats.shown()
    assert asked["rows"]["bulk"]["Contact"] == 900 and "rest" not in asked["rows"]
    assert any(request.startswith("DELETE") for request in asked["requests"])
    assert not org.bulk._jobs


def test_values_survive_exactly(own_org, configure, run):
    text = 'He said "NA"\r\nsecond line, 東京 👩\u200d👩\u200d👧 \\N'
    records = [
        {
            "LastName": text,
            "Email": "NA",
            "Title": "",
            "Credit_Limit__c": "123456789012345.67",
            "Birthdate": "1990-10-25",
        },
        {"LastName": "null", "Description": "x" * 31_999, "Credit_Limit__c": "0.1", "Call_Time__c": "10:22:33.000Z"},
    ]
    first, second = own_org.insert("Contact", records)
    for api in ("REST", "BULK2"):
        lines = run(configure(own_org, api_type=api)).records("Contact")
        found = {record["Id"]: record for record in lines}
        assert found[first]["LastName"] == text
        assert found[first]["Email"] == "NA"
        assert found[first]["Title"] is None
        assert found[first]["Birthdate"] == "1990-10-25"
        assert found[second]["LastName"] == "null"
        assert len(found[second]["Description"]) == 31_999
        assert found[second]["Call_Time__c"].startswith("10:22:33")
        assert found[first]["SystemModstamp"].endswith("Z")


def test_long_decimals_are_not_rounded(own_org, configure, capsys):
    own_org.insert("Invoice__c", [{"Exact__c": "1234567890.12345678"}])
    for api in ("REST", "BULK2"):
        TapSalesforce(config=configure(own_org, api_type=api, streams=["Invoice__c"])).sync_all()
        assert '"Exact__c":1234567890.12345678,' in capsys.readouterr().out


@APIS
def test_deleted_records_come_marked_with_the_time_of_deletion(own_org, configure, run, api):
    (gone,) = own_org.delete("Contact", 1)
    found = {r["Id"]: r for r in run(configure(own_org, api_type=api)).records("Contact")}
    assert found[gone]["IsDeleted"] is True
    assert found[gone]["_sdc_deleted_at"] == found[gone]["SystemModstamp"]
    assert all((r["_sdc_deleted_at"] is None) != r["IsDeleted"] for r in found.values())


@APIS
def test_without_deleted_records_only_live_ones_come(org, configure, run, api):
    out = run(configure(org, api_type=api, include_deleted=False))
    assert len(out.ids("Contact")) == org.count("Contact")["live"]
    assert "_sdc_deleted_at" not in out.schema("Contact")["properties"]


TASK = SObject(
    name="Task",
    prefix="00T",
    fields=(
        field("Id", "id", nillable=False, system=True),
        field("IsDeleted", "boolean", nillable=False, system=True),
        field("IsArchived", "boolean", nillable=False, system=True),
        field("SystemModstamp", "datetime", nillable=False, system=True),
    ),
)


@APIS
@pytest.mark.parametrize("deleted", [True, False])
def test_activities_that_are_archived_come_with_and_without_deleted_records(configure, run, api, deleted):
    with LocalOrg(counts={**dict.fromkeys(DEFAULT_COUNTS, 0), "User": 1}, objects=[TASK]) as org:
        ids = org.insert("Task", [{"IsArchived": old} for old in (True, False, True)])
        org.delete("Task", ids[2:])
        out = run(configure(org, api_type=api, include_deleted=deleted, streams=["Task"]))
        assert out.ids("Task").keys() == set(ids if deleted else ids[:2])


@APIS
def test_windows_close_with_state_behind_their_records(org, configure, run, api):
    out = run(configure(org, api_type=api, window_rows=100))
    assert out.ids("Contact") == everything(org, "Contact")
    seen: list[str] = []
    closed = 0
    for message in out.messages:
        if message["type"] == "RECORD":
            seen.append(message["record"]["SystemModstamp"])
        elif message["type"] == "STATE" and (mark := message["value"]["bookmarks"].get("Contact")):
            bound = datetime.fromisoformat(mark["replication_key_value"])
            assert all(datetime.fromisoformat(stamp) < bound for stamp in seen)
            closed += 1
    assert 9 <= closed <= 25


@APIS
@pytest.mark.parametrize("spread", ["by the org", "one minute", "one second"])
def test_a_killed_run_resumes_where_its_last_window_closed(own_org, configure, run, api, spread):
    if spread != "by the org":
        long_ago = datetime(2025, 5, 5, tzinfo=UTC)
        ids = [i for (i,) in own_org.store.rows('SELECT "Id" FROM "Contact" ORDER BY "Id"')]
        step = 60 if spread == "one minute" else 1
        with own_org.store._change() as db:
            db.executemany(
                'UPDATE "Contact" SET "SystemModstamp" = ? WHERE "Id" = ?',
                [
                    ((long_ago + timedelta(seconds=n % step)).strftime("%Y-%m-%dT%H:%M:%S.000+0000"), i)
                    for n, i in enumerate(ids)
                ],
            )
    config = configure(own_org, api_type=api, window_rows=90)
    full = run(config)
    total = everything(own_org, "Contact")
    assert full.ids("Contact") == total
    half = [n for n, m in enumerate(full.messages) if m["type"] == "RECORD"][450]
    before = full.messages[:half]
    states = [m["value"] for m in before if m["type"] == "STATE"]
    got = Counter(
        m["record"]["Id"]
        for m in before[: max((n for n, m in enumerate(before) if m["type"] == "STATE"), default=0)]
        if m["type"] == "RECORD"
    )
    rest = run(config, state=states[-1] if states else {})
    assert set(got) | set(rest.ids("Contact")) == set(total)
    if spread != "one second":
        assert sum(rest.ids("Contact").values()) < 0.65 * sum(total.values())
    else:
        assert sum(rest.ids("Contact").values()) == sum(total.values())


def test_the_next_run_reads_changes_and_looks_back_for_late_ones(own_org, configure, run):
    config = configure(own_org)
    state = run(config).states()[-1]
    changed = own_org.update("Contact", 3, {"Title": "new"})
    late = own_org.update("Contact", 2, {"Title": "late"}, at=own_org.clock.now() - timedelta(minutes=14))
    too_late = own_org.update("Contact", 2, {"Title": "lost"}, at=own_org.clock.now() - timedelta(minutes=19))
    out = run(config, state=state)
    expected = {*changed, *late} - set(too_late)
    assert expected <= set(out.ids("Contact")) and len(out.ids("Contact")) <= 7
    assert not set(out.ids("Contact")) & (set(too_late) - set(changed) - set(late))


def test_a_stream_without_a_stamp_is_read_whole_each_time(org, configure, run):
    catalog = TapSalesforce(config=configure(org)).catalog_dict
    entry = catalog["streams"][0]
    entry["replication_method"] = "FULL_TABLE"
    for part in entry["metadata"]:
        if not part["breadcrumb"]:
            part["metadata"]["forced-replication-method"] = "FULL_TABLE"
    for _ in range(2):
        out = run(configure(org), catalog=catalog, state={"bookmarks": {"Contact": {}}})
        assert out.ids("Contact") == everything(org, "Contact")
        assert out.states()[-1]["bookmarks"]["Contact"] == {}


def test_objects_bulk_refuses_are_read_by_rest_and_it_is_said(own_org, configure, run, caplog, monkeypatch):
    monkeypatch.setattr("tap_salesforce.reading.NOT_IN_BULK", frozenset())
    caplog.set_level("INFO")
    assert len(run(configure(own_org, streams=["CaseStatus"])).ids("CaseStatus")) == 4
    assert "The Bulk API does not serve CaseStatus" in caplog.text and "read by REST" in caplog.text


def test_objects_known_to_be_refused_do_not_even_try(org, configure, run, caplog):
    assert len(run(configure(org, streams=["CaseStatus"])).ids("CaseStatus")) == 4
    assert not any("jobs/query" in request for request in org.stats.shown()["requests"])


def test_history_objects_go_by_their_creation(org, configure, run):
    out = run(configure(org, streams=["AccountHistory"]))
    assert out.bookmark("AccountHistory")["replication_key"] == "CreatedDate"
    assert len(out.ids("AccountHistory")) == 9


def test_small_windows_can_go_by_rest(org, configure, run):
    run(configure(org, rest_below_rows=2000))
    assert "bulk" not in org.stats.shown()["rows"]


def test_an_empty_window_costs_one_count_and_no_job(org, configure, run):
    out = run(configure(org, start_date="2040-01-01"))
    assert not out.records("Contact")
    assert out.bookmark("Contact")["replication_key"] == "SystemModstamp"
    assert not any("jobs/query" in request for request in org.stats.shown()["requests"])


def test_deselected_fields_are_not_asked_for_but_keys_are(org, configure, run):
    config = configure(org)
    catalog = TapSalesforce(config=config).catalog_dict
    for part in catalog["streams"][0]["metadata"]:
        if part["breadcrumb"]:
            part["metadata"] = {"inclusion": "available", "selected": part["breadcrumb"][-1] == "LastName"}
        else:
            part["metadata"]["selected"] = True
    for api in ("REST", "BULK2"):
        out = run(configure(org, api_type=api), catalog=json.loads(json.dumps(catalog)))
        assert set(out.records("Contact")[0]) == {"Id", "LastName", "IsDeleted", "SystemModstamp", "_sdc_deleted_at"}
        assert set(out.schema("Contact")["properties"]) == set(out.records("Contact")[0])


def test_only_selected_streams_are_described(org, configure, run):
    catalog = TapSalesforce(config=configure(org, streams=["Account", "Contact"])).catalog_dict
    for entry in catalog["streams"]:
        for part in entry["metadata"]:
            if not part["breadcrumb"]:
                part["metadata"]["selected"] = entry["stream"] == "Account"
    org.reset()
    run(configure(org), catalog=catalog)
    described = [r for r in org.stats.shown()["requests"] if r.endswith("/describe")]
    assert len(described) == 1 and "Account" in described[0]


def test_a_field_that_is_gone_is_in_no_message_and_it_is_said(own_org, configure, run, caplog):
    catalog = TapSalesforce(config=configure(own_org)).catalog_dict
    own_org.remove_field("Contact", "Fax")
    out = run(configure(own_org), catalog=catalog)
    assert "Fax" not in out.records("Contact")[0] and len(out.ids("Contact")) == 900
    assert "Fax" not in out.schema("Contact")["properties"], "a loader would make it null in every row"
    assert caplog.text.count("Contact no longer has Fax, or this user may not see it") == 1


def test_stream_maps_and_flattening_still_work(org, configure, run):
    maps = {"Account": {"Id": "Id", "Loud": "Name.upper()", "__else__": None}}
    out = run(configure(org, streams=["Account"], stream_maps=maps))
    assert all(set(record) == {"Id", "Loud"} for record in out.records("Account"))
    assert len(out.ids("Account")) == 60
    flat = run(configure(org, streams=["Account"], flattening_enabled=True, flattening_max_depth=1))
    assert flat.ids("Account") == everything(org, "Account")


def test_the_sdks_batches_hold_every_record_and_state_comes_behind_them(org, configure, run, tmp_path):
    batches = {
        "encoding": {"format": "jsonl", "compression": "gzip"},
        "storage": {"root": f"file://{tmp_path}", "prefix": "b-"},
    }
    out = run(configure(org, batch_config=batches, window_rows=100))
    files = [urlsplit(name).path for m in out.messages if m["type"] == "BATCH" for name in m["manifest"]]
    lines = [line for name in files for line in gzip.decompress(Path(name).read_bytes()).splitlines()]
    ids = [json.loads(line)["Id"] for line in lines]
    assert Counter(ids) == everything(org, "Contact")
    assert out.messages[-1]["type"] == "STATE"
    assert set(out.bookmark("Contact")) == MARKS


def test_records_are_counted_at_the_pace_of_the_setting(org, configure, run, caplog):
    caplog.set_level("INFO")
    run(configure(org, metrics_interval_seconds=0.1))
    counted = [r.args[0] for r in caplog.records if r.name == "singer_sdk.metrics" and r.args]
    assert sum(p.value for p in counted if p.metric.value == "record_count") == 900
    stream = TapSalesforce(config=configure(org)).streams["Contact"]
    assert stream.get_record_counter().log_interval == 1


@APIS
def test_records_that_arrive_deleted_are_counted_apart(own_org, configure, run, caplog, api):
    caplog.set_level("INFO")
    own_org.delete("Contact", 7)
    run(configure(own_org, api_type=api))
    counted = [r.args[0] for r in caplog.records if r.name == "singer_sdk.metrics" and r.args]
    deletions = [point for point in counted if point.metric.value == "deleted_count"]
    assert sum(point.value for point in deletions) == own_org.count("Contact")["deleted"] >= 7
    assert {point.tags["stream"] for point in deletions} == {"Contact"}


def test_get_records_gives_python_values(org, configure):
    stream = TapSalesforce(config=configure(org, streams=["Account"])).streams["Account"]
    records = list(stream.get_records(None))
    assert len(records) == 60 and isinstance(records[0]["IsDeleted"], bool)


def test_a_key_that_is_no_time_is_refused(org, configure, run):
    catalog = TapSalesforce(config=configure(org)).catalog_dict
    catalog["streams"][0]["replication_key"] = "LastName"
    with pytest.raises(ConfigError, match=r"cannot be read incrementally by LastName.*SystemModstamp"):
        run(configure(org), catalog=catalog)


@APIS
def test_a_date_that_became_a_date_time_is_not_handed_on_as_a_date(own_org, configure, run, api):
    config = configure(own_org, api_type=api)
    catalog = TapSalesforce(config=config).catalog_dict
    own_org.replace_field("Contact", "Birthdate", field("Birthdate", "datetime"))
    own_org.update("Contact", 1, {"Birthdate": "2026-05-05T17:45:00.000+0000"})
    with pytest.raises(SchemaError, match=r"Contact\.Birthdate is a date-time .* and a date in the catalog.*discovery"):
        run(config, catalog=catalog)
    assert not run.partial.records("Contact")
