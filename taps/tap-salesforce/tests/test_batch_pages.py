"""Pages on their way into files: what is cut, spoilt or short is fetched again, and none is taken for whole that isn't."""

import re
import threading
import time

import pytest
from batchpages import SPOILT, Reply, everything, files, ids, left_in, rows

from tap_salesforce import fetching, pagefiles
from tap_salesforce.batchfolder import BatchFolder
from tap_salesforce.errors import (
    AnswerError,
    ShortResultError,
)
from tap_salesforce.pages import Address
from tap_salesforce.settings import read
from tap_salesforce.tap import Org, TapSalesforce


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


@pytest.mark.parametrize(
    "spoilt",
    [b"Id,B\n1,abc\n", b"Id,B\n1,abc\n2,a", b"Id,B\n1,abc\n2", b"Id,B\n1,abc\n2,abc\n3,abc\n", b"Id\n1\n2\n"],
    ids=["a row is missing", "its last value is cut", "a value is missing", "a row is too many", "a column is missing"],
)
def test_a_complete_answer_that_is_no_whole_page_is_fetched_again(org, configure, tmp_path, monkeypatch, spoilt):
    client, whole = Org(read(configure(org))).client, b"Id,B\n1,abc\n2,abcdef\n"
    coming = [Reply(spoilt, 2), Reply(whole, 2)]
    monkeypatch.setattr(client, "open", lambda *_, **__: coming.pop(0))
    with BatchFolder(tmp_path, "b-", zipped=False, room=1_000_000) as folder:
        sizes, over = pagefiles.RowSizes(), threading.Event()
        wanted = {"fields": ["Id", "B"], "folder": folder, "sizes": sizes, "over": over}
        page = pagefiles.PageDownload(client, Address("p"), **wanted).to(folder.reserve("Contact"))
        assert (page.rows, page.path.read_bytes()) == (2, whole)
    assert not coming


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


def test_pages_are_fetched_at_the_same_time_and_so_many_at_most(org, batches, run, monkeypatch):
    to, changed, under_way, most = pagefiles.PageDownload.to, threading.Condition(), [], [0]

    def watched(self, path):
        with changed:
            under_way.append(path)
            most[0] = max(most[0], len(under_way))
            changed.notify_all()
            changed.wait_for(lambda: most[0] >= 3, timeout=2)
        time.sleep(0.05)  # in which a fourth would begin
        try:
            return to(self, path)
        finally:
            under_way.remove(path)

    monkeypatch.setattr(pagefiles.PageDownload, "to", watched)
    assert ids(run(batches(org, max_workers=3))) == everything(org)
    assert most == [3]


@pytest.mark.parametrize("version", ["62.0", "57.0"], ids=["pages are listed", "pages follow one another"])
def test_pages_that_go_round_end_the_run(own_org, batches, run, monkeypatch, version):
    own_org.bulk.page_rows = 70
    monkeypatch.setattr("sandboxes.salesforce.rest_bulk.locator", lambda _: "MzAw")  # 300
    with pytest.raises(AnswerError, match="leads back to a page"):
        run(batches(own_org, api_version=version, bulk_page_rows=70, window_rows=2_000))


def test_a_page_that_takes_long_says_how_far_it_is(org, batches, run, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(pagefiles, "_SAY_EVERY", -1.0)
    assert ids(run(batches(org))) == everything(org)
    assert re.search(r"A result page is being downloaded: 0\.\d MB so far\.", caplog.text)
