"""Result pages as batch files: every row in one of them, as it came, and STATE behind them."""

import csv
import io
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from batchpages import everything, files, ids, left_in, rows, text_of

from tap_salesforce import client
from tap_salesforce.tap import TapSalesforce


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_every_row_is_in_one_file_and_state_follows_the_files_of_its_window(
    org, batches, run, tmp_path, caplog, compression
):
    caplog.set_level("INFO")
    out = run(batches(org, compression=compression))
    assert ids(out) == everything(org) and not out.records("Contact")
    said = [m for m in out.messages if m["type"] == "BATCH"]
    assert len(said) >= 9
    for message in said:
        (name,) = message["manifest"]
        found = list(csv.DictReader(io.StringIO(text_of(Path(urlsplit(name).path)), newline="")))
        assert message["record_counts"] == [len(found)]
        assert message["encoding"] == {"format": "csv", "compression": compression}
        assert message["time_extracted"].endswith("+00:00")
    assert set(files(out)) == left_in(tmp_path)
    kinds = "".join(m["type"][0] for m in out.messages)
    assert kinds.count("BS") >= 9 and "BB" not in kinds and kinds.endswith("S")
    assert not org.bulk._jobs
    counted = [r.args[0] for r in caplog.records if r.name == "singer_sdk.metrics" and r.args]
    assert sum(p.value for p in counted if p.metric.value == "record_count") == 900
    assert not sum(p.value for p in counted if p.metric.value == "deleted_count"), "whoever reads the files counts them"


def test_no_bookmark_runs_ahead_of_what_is_in_files(org, batches, run):
    out = run(batches(org))
    stamps: list[str] = []
    for message in out.messages:
        if message["type"] == "BATCH":
            (name,) = message["manifest"]
            found = csv.DictReader(io.StringIO(text_of(Path(urlsplit(name).path)), newline=""))
            stamps += [row["SystemModstamp"] for row in found]
        elif message["type"] == "STATE" and (mark := message["value"]["bookmarks"].get("Contact")):
            assert all(stamp < mark["replication_key_value"] for stamp in stamps)


def test_whole_pages_are_never_parsed(org, batches, run, monkeypatch):
    monkeypatch.setattr("tap_salesforce.counting.count_slowly", lambda *_, **__: 1 / 0)
    assert ids(run(batches(org))) == everything(org)


def test_files_are_pages_as_they_come(org, batches, run, monkeypatch):
    bodies = []
    page = org.bulk._results.clear() or type(org.bulk).ready

    def seen(self, *wanted):
        job, result = page(self, *wanted)
        make = result.page
        result.page = lambda *cut, zipped: bodies.append(body := make(*cut, zipped=zipped)) or body
        return job, result

    monkeypatch.setattr(type(org.bulk), "ready", seen)
    out = run(batches(org, bulk_page_rows=1000))
    assert [path.read_bytes() for path in files(out)] == bodies and bodies[0][:2] == b"\x1f\x8b"


def test_the_schema_says_when_a_record_was_deleted(org, batches, run):
    schema = run(batches(org)).schema("Contact")
    derived = schema["properties"]["_sdc_deleted_at"]["x-derived"]
    assert derived == {"when": "IsDeleted", "value": "SystemModstamp"}


def test_values_come_through_untouched(own_org, batches, run):
    text = 'He said "NA"\r\n"true","x"\n""\n"false", 東京 👩\u200d👩\u200d👧 \\N \x00 \n'
    first, second = own_org.insert(
        "Contact",
        [
            {"LastName": text, "Email": "NA", "Title": ""},
            {"LastName": '\n"t', "Description": '"\n"f' * 9_000},
        ],
    )
    for compression in ("gzip", "none"):
        found = {row["Id"]: row for row in rows(run(batches(own_org, compression=compression)))}
        assert found[first]["LastName"] == text
        assert found[first]["Email"] == "NA" and found[first]["Title"] == ""
        assert found[second]["LastName"] == '\n"t' and found[second]["Description"] == '"\n"f' * 9_000
        assert len(found) == 902


def test_pages_that_come_without_gzip_are_files_all_the_same(org, batches, run, monkeypatch):
    make = client.http_session

    def plain(connections):
        http = make(connections)
        http.headers["Accept-Encoding"] = "identity"
        return http

    monkeypatch.setattr("tap_salesforce.tap.http_session", plain)
    for compression, ending in (("gzip", ".gz"), ("none", ".csv")):
        out = run(batches(org, compression=compression))
        assert ids(out) == everything(org)
        assert all(path.suffix == ending for path in files(out))


def test_small_windows_come_as_records_within_the_same_stream(org, batches, run):
    out = run(batches(org, rest_below_rows=60, window_rows=80, bulk_page_rows=90))
    assert ids(out) == everything(org)
    assert out.records("Contact") and files(out)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"stream_maps": {"Contact": {"Id": "Id", "__else__": None}}}, "stream maps and flattening need the values"),
        ({"api_type": "REST"}, "not read by the Bulk API"),
    ],
)
def test_what_cannot_be_a_page_comes_as_records_and_it_is_said_once(org, batches, run, caplog, changes, why):
    caplog.set_level("INFO")
    out = run(batches(org, **changes))
    assert not files(out) and out.ids("Contact") == everything(org)
    assert sum(why in line for line in caplog.messages) == 1


def test_an_object_that_bulk_refuses_comes_as_records(own_org, batches, run, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr("tap_salesforce.reading.NOT_IN_BULK", frozenset())
    out = run(batches(own_org, streams=["CaseStatus"]))
    assert len(out.ids("CaseStatus")) == 4 and not files(out)
    own_org.faults.add("job_failed", reason="INVALIDENTITY: Entity is not supported by the Bulk API.")
    out = run(batches(own_org))
    assert ids(out) == everything(own_org)
    assert "read by REST" in caplog.text and not own_org.bulk._jobs


def test_a_dry_run_writes_no_files(org, batches, run, tmp_path):
    tap = TapSalesforce(config=batches(org))
    assert tap.run_connection_test()
    assert not (tmp_path / "batches").exists()


def test_tombstones_come_beside_files(own_org, batches, run):
    state = run(batches(own_org, hard_deletes=True)).states()[-1]
    (gone,) = own_org.delete("Contact", 1)
    own_org.hard_delete("Contact", [gone])
    own_org.clock.advance(120)
    out = run(batches(own_org, hard_deletes=True), state=state)
    assert [record["Id"] for record in out.records("Contact")] == [gone]
