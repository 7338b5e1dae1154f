"""Result pages as batch files: every row in one of them, none of them half, and none left behind."""

import csv
import gzip
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from tap_salesforce import batchfolder, client, fetching, pagefiles
from tap_salesforce.batchfolder import BatchFolder
from tap_salesforce.errors import (
    AnswerError,
    ConfigError,
    JobError,
    LoaderGoneError,
    QuotaError,
    ShortResultError,
    StorageError,
)
from tap_salesforce.tap import TapSalesforce

SPOILT = {
    "cut within a row": {"kind": "cut_row", "fraction": 0.6},
    "truncated gzip": {"kind": "truncated_gzip", "fraction": 0.5},
    "truncated at the end of gzip": {"kind": "truncated_gzip", "fraction": 0.9999},
    "reset within the body": {"kind": "reset_body", "fraction": 0.7},
    "reset": {"kind": "reset"},
    "slow down": {"kind": "status", "status": 429, "code": "TOO_MANY", "retry_after": 3},
    "unavailable": {"kind": "status", "status": 503},
}


@pytest.fixture
def batches(configure, tmp_path):
    """A configuration that asks for result pages as files."""

    def made(org, *, compression="gzip", **changes):
        encoding = {"format": "csv", "compression": compression}
        storage = {"root": (tmp_path / "batches").as_uri(), "prefix": "b-"}
        wish = {"batch_config": {"encoding": encoding, "storage": storage}, "rest_below_rows": 0, "window_rows": 100}
        return configure(org, **{**wish, "bulk_page_rows": 100, **changes})

    return made


def files(out) -> list[Path]:
    return [Path(urlsplit(name).path) for m in out.messages if m["type"] == "BATCH" for name in m["manifest"]]


def text_of(path: Path) -> str:
    body = path.read_bytes()
    return (gzip.decompress(body) if path.suffix == ".gz" else body).decode()


def rows(out) -> list[dict[str, str]]:
    """The rows of all files, in order, as a CSV reader sees them."""
    return [row for path in files(out) for row in csv.DictReader(io.StringIO(text_of(path), newline=""))]


def ids(out) -> Counter[str]:
    return Counter(row["Id"] for row in rows(out)) + Counter(record["Id"] for record in out.records("Contact"))


def everything(org, name: str = "Contact") -> Counter:
    return Counter(i for (i,) in org.store.rows(f'SELECT "Id" FROM "{name}"'))


def left_in(tmp_path: Path) -> set[Path]:
    return set((tmp_path / "batches").iterdir())


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


@pytest.mark.parametrize("trouble", SPOILT)
@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_a_spoilt_page_is_fetched_again_from_its_locator(org, batches, run, tmp_path, trouble, compression):
    fault = org.faults.add(**SPOILT[trouble], path="/results", nth=3, times=2)
    out = run(batches(org, compression=compression))
    assert ids(out) == everything(org)
    assert fault.hits == 2
    assert set(files(out)) == left_in(tmp_path)


@pytest.mark.parametrize("trouble", [name for name, fault in SPOILT.items() if "fraction" in fault])
def test_a_large_page_that_is_not_as_large_as_its_rows_is_fetched_again(org, batches, run, monkeypatch, trouble):
    monkeypatch.setattr(pagefiles, "_MANY_ROWS", 50)
    fault = org.faults.add(**SPOILT[trouble], path="/results", nth=3, times=2)
    assert ids(run(batches(org))) == everything(org)
    assert fault.hits == 2


def test_large_pages_are_not_unpacked_once_it_is_known_what_a_row_takes(org, batches, run, monkeypatch):
    monkeypatch.setattr(pagefiles, "_MANY_ROWS", 50)
    monkeypatch.setattr(pagefiles, "_NEAR", 0.5)  # so few rows differ more than thousands do
    looked = []
    through = pagefiles._looked_through
    monkeypatch.setattr(pagefiles, "_looked_through", lambda path: looked.append(path) or through(path))
    out = run(batches(org, max_workers=1))
    assert ids(out) == everything(org)
    assert 1 <= len(looked) < len(files(out)) / 2


def test_what_a_row_takes_is_learnt_from_large_pages_and_expected_of_large_ones_only():
    sizes = pagefiles.RowSizes()
    assert not sizes.expect(6_000, 60_000), "nothing is known yet"
    sizes.learn(10_000, 100_000)
    assert sizes.expect(6_000, 60_000) and sizes.expect(6_000, 61_000)
    assert not sizes.expect(6_000, 55_000) and not sizes.expect(100, 1_000)


def test_a_session_that_ends_before_a_page_is_renewed(org, batches, run):
    app = org.app
    auth = {"auth_type": "client_credentials", "client_id": app.client_id, "client_secret": app.client_secret}
    fault = org.faults.add("session", path="/results", nth=3)
    assert ids(run(batches(org, auth=auth))) == everything(org)
    assert fault.hits == 1


def test_a_page_that_stays_spoilt_ends_the_run_and_leaves_no_half_file(org, batches, run, tmp_path):
    org.faults.add("cut_row", path="/results", nth=4, times=0)
    with pytest.raises(ShortResultError, match="cut short again and again"):
        run(batches(org, max_retries=2, max_workers=1))
    assert len(files(run.partial)) == 3
    assert set(files(run.partial)) == left_in(tmp_path)
    assert len([m for m in run.partial.states() if m["bookmarks"].get("Contact")]) == 3
    assert not org.bulk._jobs


def test_fewer_rows_than_the_job_found_are_an_error(org, batches, run, monkeypatch):
    finished = fetching.Job.finished
    monkeypatch.setattr(fetching.Job, "finished", lambda self: finished(self) + 1)
    with pytest.raises(ShortResultError, match="but delivered"):
        run(batches(org, bulk_page_rows=1000))
    assert not any(state["bookmarks"].get("Contact") for state in run.partial.states())


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


@pytest.mark.parametrize("version", ["62.0", "57.0"], ids=["pages are listed", "pages follow one another"])
def test_a_window_of_many_pages_is_fetched_page_by_page_in_order(own_org, batches, run, version):
    own_org.bulk.page_rows = 70
    config = batches(own_org, api_version=version, bulk_page_rows=70)
    catalog = TapSalesforce(config=config).catalog_dict
    catalog["streams"][0]["replication_method"] = "FULL_TABLE"
    for part in catalog["streams"][0]["metadata"]:
        if not part["breadcrumb"]:
            part["metadata"]["forced-replication-method"] = "FULL_TABLE"
    out = run(config, catalog=catalog)
    order = [i for (i,) in own_org.store.rows('SELECT "Id" FROM "Contact" ORDER BY "Id"')]
    assert sorted(row["Id"] for row in rows(out)) == order
    assert [m["record_counts"] for m in out.messages if m["type"] == "BATCH"] == [[70]] * 12 + [[60]]


@pytest.mark.parametrize("version", ["62.0", "57.0"], ids=["pages are listed", "pages follow one another"])
def test_pages_that_go_round_end_the_run(own_org, batches, run, monkeypatch, version):
    own_org.bulk.page_rows = 70
    monkeypatch.setattr("sandboxes.salesforce.rest_bulk.locator", lambda _: "MzAw")  # 300
    with pytest.raises(AnswerError, match="leads back to a page"):
        run(batches(own_org, api_version=version, bulk_page_rows=70, window_rows=2_000))


def test_a_run_that_failed_goes_on_behind_its_last_window(own_org, batches, run):
    own_org.faults.add("job_failed", nth=5)
    with pytest.raises(JobError):
        run(batches(own_org))
    first = run.partial
    before = ids(first)
    assert 200 < sum(before.values()) < 700
    rest = run(batches(own_org), state=first.states()[-1])
    assert before + ids(rest) == everything(own_org)


def test_a_run_stopped_by_the_quota_keeps_its_files_and_the_next_goes_on(own_org, batches, run):
    own_org.daily_limit = 80
    with pytest.raises(QuotaError, match="of its 80 daily API requests"):
        run(batches(own_org, max_api_usage_percent=50))
    first = run.partial
    own_org.use_requests(0)
    own_org.daily_limit = 100_000
    rest = run(batches(own_org), state=first.states()[-1])
    assert ids(first).keys() | ids(rest).keys() == everything(own_org).keys()
    assert 0 < sum(ids(first).values()) < 900 and 0 < sum(ids(rest).values()) < 900


def test_the_loader_sets_the_pace(own_org, batches, run, monkeypatch):
    lying, most = [], []
    give = BatchFolder.give

    def given(self, path):
        give(self, path)
        lying.append(path)
        most.append(sum(p.stat().st_size for p in path.parent.iterdir() if p.exists()))
        if len(lying) >= 2:
            threading.Timer(0.05, lying.pop(0).unlink).start()

    monkeypatch.setattr(BatchFolder, "give", given)
    monkeypatch.setattr(batchfolder, "_EXPECTED", 20_000)
    monkeypatch.setattr("tap_salesforce.settings.MEGABYTE", 100_000)
    out = run(batches(own_org, batch_storage_mb=1))
    assert sum(sum(m["record_counts"]) for m in out.messages if m["type"] == "BATCH") == 900
    assert 30_000 < max(most) < 130_000


def test_files_wait_for_space_even_where_more_might_lie(tmp_path, monkeypatch):
    free = [50_000]
    monkeypatch.setattr(batchfolder, "_EXPECTED", 20_000)
    monkeypatch.setattr(batchfolder.shutil, "disk_usage", lambda _: SimpleNamespace(free=free[0]))
    folder = BatchFolder(tmp_path, "b-", zipped=True, room=1_000_000)
    first, second = folder.reserve("Contact"), folder.reserve("Contact")
    assert first and second and folder.reserve("Contact") is None, "two are expected to fill it"
    with folder.written(first) as file:
        file.write(b"x" * 20_000)
    free[0] -= 20_000
    folder.give(first)
    assert folder.reserve("Contact") is None
    first.unlink()
    free[0] += 20_000
    assert folder.reserve("Contact"), "the loader has made room"


def test_one_file_is_tried_however_little_space_there_is(tmp_path, monkeypatch):
    monkeypatch.setattr(batchfolder.shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    assert BatchFolder(tmp_path, "b-", zipped=True, room=1_000_000).reserve("Contact")


def test_what_a_killed_tap_left_goes_a_day_later_and_nothing_else(org, batches, run, tmp_path):
    folder = tmp_path / "batches"
    folder.mkdir()
    left = [f"b-Lead-{'a' * 32}.csv.gz", f"b-Lead-{'b' * 32}.csv.part", f"b-Lead-{'c' * 32}.csv.gz"]
    others = ["notes.csv", f"other-{'d' * 32}.csv", f"b-Lead-{'e' * 32}.csv.bak"]
    for name in (*left, *others):
        (folder / name).touch()
        os.utime(folder / name, (1e9, 1e9))
    os.utime(folder / left[2])
    out = run(batches(org, streams=["User"], api_type=None))
    assert {path.name for path in left_in(tmp_path)} == {left[2], *others, *(path.name for path in files(out))}


def test_a_page_that_takes_long_says_how_far_it_is(org, batches, run, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(pagefiles, "_SAY_EVERY", -1.0)
    assert ids(run(batches(org))) == everything(org)
    assert re.search(r"A result page is being downloaded: 0\.\d MB so far\.", caplog.text)


def test_a_loader_that_removes_nothing_ends_the_run_and_its_files(own_org, batches, run, monkeypatch, tmp_path):
    monkeypatch.setattr(batchfolder, "_EXPECTED", 20_000)
    monkeypatch.setattr("tap_salesforce.settings.MEGABYTE", 100_000)
    monkeypatch.setattr(fetching, "LONGEST_WAIT", 0.3)
    with pytest.raises(LoaderGoneError, match="does not remove"):
        run(batches(own_org, batch_storage_mb=1))
    assert len(files(run.partial)) >= 2 and not left_in(tmp_path)


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


@pytest.mark.parametrize("root", ["s3://bucket/x", "file://elsewhere/x"])
def test_a_folder_of_another_machine_is_refused(org, batches, run, root):
    config = batches(org)
    config["batch_config"]["storage"]["root"] = root
    with pytest.raises(ConfigError, match=r"storage\.root"):
        run(config)


@pytest.fixture
def page_under_way(tmp_path):
    """A folder, the name of a page in it, and the name it has until it is whole."""
    folder = BatchFolder(tmp_path, "b-", zipped=True, room=1_000_000)
    page = folder.reserve("Contact")
    return folder, page, page.with_name(f"{page.name}.part")


def test_a_page_that_is_done_while_the_run_ends_is_not_left_behind(page_under_way, monkeypatch):
    folder, page, aside = page_under_way
    aside.touch()
    unlink = Path.unlink

    def while_a_download_ends(path, **how):
        unlink(path, **how)
        if aside.exists():
            aside.rename(page)

    monkeypatch.setattr(Path, "unlink", while_a_download_ends)
    with folder:
        pass
    assert not list(page.parent.iterdir())


def test_no_link_is_written_through(page_under_way, tmp_path):
    folder, page, aside = page_under_way
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("precious")
    aside.symlink_to(elsewhere)
    with pytest.raises(StorageError), folder.written(page):
        raise AssertionError("never reached")
    assert elsewhere.read_text() == "precious"


def test_a_folder_that_cannot_be_written_to_is_a_sentence(org, batches, run, tmp_path):
    (tmp_path / "batches").write_text("a file")
    with pytest.raises(StorageError, match=r"cannot be written to .*batches"):
        run(batches(org))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_tap_that_is_stopped_leaves_only_what_it_has_said_and_loses_nothing(own_org, batches, run, tmp_path, number):
    file = tmp_path / "config.json"
    config = batches(own_org, max_workers=2)
    file.write_text(json.dumps(config))
    own_org.rows_per_second = 400
    command = [sys.executable, "-m", "tap_salesforce", "--config", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as tap:
        lines = []
        for line in tap.stdout:
            lines.append(json.loads(line))
            if sum(m["type"] == "STATE" for m in lines) == 3:
                break
        tap.send_signal(number)
        lines += [json.loads(line) for line in tap.stdout]
        tap.wait(30)
    own_org.rows_per_second = 0
    first = type(run(batches(own_org, streams=["User"])))(lines)
    if number == signal.SIGTERM:
        assert tap.returncode == 143
        assert set(files(first)) == {path for path in left_in(tmp_path) if "Contact" in path.name}
    rest = run(config, state=first.states()[-1])
    assert set(ids(first)) | set(ids(rest)) == set(everything(own_org))
    assert sum(ids(rest).values()) < 750


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_everything_that_passes_may_go_wrong_at_once(own_org, batches, run, seed):
    rng = random.Random(seed)
    own_org.bulk.page_rows = 50
    app = own_org.app
    auth = {"auth_type": "oauth_refresh", "client_id": app.client_id, "client_secret": app.client_secret}
    ways = [
        *SPOILT.values(),
        {"kind": "stall_body", "seconds": 1.5},
        {"kind": "stall", "seconds": 1.5},
    ]
    places = ["/results", "/resultPages", r"/jobs/query/\w+$", "/jobs/query/?$", "COUNT", "/describe"]
    for nth in rng.sample(range(1, 12), client.RENEWALS):  # so many that some end which have just been renewed
        own_org.faults.add(kind="session", path=rng.choice(["/results", "/results", *places]), nth=nth)
    for _ in range(25):
        way = rng.choice(ways)
        path = "/results" if "fraction" in way else rng.choice(places)
        own_org.faults.add(**way, path=path, nth=rng.randrange(1, 12))
    wish = {"bulk_page_rows": 50, "window_rows": 200, "timeout_seconds": 0.5, "max_retries": 12}
    config = batches(own_org, auth={**auth, "refresh_token": app.refresh_token}, **wish)
    assert ids(run(config)) == everything(own_org)
    assert sum(fault["hits"] for fault in own_org.faults.listing()) > 15
