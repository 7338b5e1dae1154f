"""Where batch files lie: bounded, paced by the loader, nothing half or left behind, nothing written elsewhere."""

import os
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from batchpages import files, left_in

from tap_salesforce import batchfolder, fetching
from tap_salesforce.batchfolder import BatchFolder
from tap_salesforce.errors import (
    ConfigError,
    LoaderGoneError,
    StorageError,
)
from tap_salesforce.writer import LineWriter


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


def test_a_loader_that_removes_nothing_ends_the_run_and_its_files(own_org, batches, run, monkeypatch, tmp_path):
    monkeypatch.setattr(batchfolder, "_EXPECTED", 20_000)
    monkeypatch.setattr("tap_salesforce.settings.MEGABYTE", 100_000)
    monkeypatch.setattr(fetching, "LONGEST_WAIT", 0.3)
    with pytest.raises(LoaderGoneError, match="does not remove"):
        run(batches(own_org, batch_storage_mb=1))
    assert len(files(run.partial)) >= 2 and not left_in(tmp_path)


def test_files_do_not_wait_for_a_loader_that_is_gone(own_org, batches, run, monkeypatch, tmp_path):
    monkeypatch.setattr(batchfolder, "_EXPECTED", 20_000)
    monkeypatch.setattr("tap_salesforce.settings.MEGABYTE", 100_000)
    monkeypatch.setattr(fetching, "LONGEST_WAIT", 5.0)
    asked = []
    monkeypatch.setattr(LineWriter, "reader_is_gone", lambda _: asked.append(None) or True)
    with pytest.raises(LoaderGoneError, match="does not remove"):
        run(batches(own_org, batch_storage_mb=1))
    assert asked == [None] and not left_in(tmp_path)


def test_who_reads_messages_is_seen_to_go(monkeypatch):
    read, write = os.pipe()
    with os.fdopen(write, "w") as pipe:
        monkeypatch.setattr("sys.stdout", pipe)
        assert not LineWriter().reader_is_gone()
        os.close(read)
        assert LineWriter().reader_is_gone()


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
