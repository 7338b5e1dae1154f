"""Files out of a folder that somebody else writes to, who may change everything in it at any moment."""

import os
import socket
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from target_postgres_copy import batchfolder
from target_postgres_copy.batchfolder import NoBatchFileError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    return tmp_path / "folder"


def read(path: Path, within: Path | None) -> str:
    with batchfolder.opened(path, within=within) as number:
        return os.read(number, 100).decode()


def test_files_below_the_folder_are_opened_however_it_is_called(folder: Path, monkeypatch) -> None:
    (folder / "deep" / "file").write_text("rows")
    link = folder.parent / "link"
    link.symlink_to(folder)
    monkeypatch.chdir(folder.parent)
    for within, path in [(folder, folder), (link, link), (link, folder), (Path("folder"), Path("folder"))]:
        assert read(path / "deep" / "file", within) == "rows"


def test_a_file_that_is_not_there_is_said_to_be_missing(folder: Path) -> None:
    for within in (folder, None):
        with pytest.raises(FileNotFoundError):
            read(folder / "deep" / "none", within)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_told_from_one_that_is_elsewhere(folder: Path) -> None:
    (folder / "file").touch(mode=0o000)
    for within in (folder, None):
        with pytest.raises(PermissionError):
            read(folder / "file", within)


@pytest.mark.parametrize("what", ["a pipe", "a socket", "a folder", "a device"])
def test_what_is_no_plain_file_is_refused_without_waiting_for_it(folder: Path, what: str, monkeypatch) -> None:
    path = folder / "it"
    if what == "a pipe":
        os.mkfifo(path)
    elif what == "a socket":
        monkeypatch.chdir(folder)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind("it")
    elif what == "a folder":
        path.mkdir()
    elif os.geteuid() == 0:
        os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))
    else:
        pytest.skip("only root makes devices")
    for within in (folder, None):
        with pytest.raises((NoBatchFileError, PermissionError) if what == "a device" else NoBatchFileError):
            read(path, within)


def test_a_file_that_becomes_a_link_at_any_moment_never_leads_out(folder: Path) -> None:
    """Both the file and the folder above it are swapped for links to what must not be read, thousands of times."""
    (folder / "deep" / "file").write_text("rows")
    (folder / "aside").symlink_to(folder.parent / "secret")
    (folder.parent / "other").mkdir()
    (folder.parent / "other" / "file").write_text("secret")
    (folder / "way").symlink_to(folder.parent / "other")
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            for one, two in ((folder / "deep" / "file", folder / "aside"), (folder / "deep", folder / "way")):
                with suppress(OSError):
                    one.rename(folder / "x")
                    two.rename(one)
                    one.rename(two)
                    (folder / "x").rename(one)

    swapper = threading.Thread(target=swap)
    swapper.start()
    seen = {"rows": 0, "refused": 0, "missing": 0}
    try:
        while sum(seen.values()) < 20_000 and not (seen["rows"] > 500 and seen["refused"] > 500):
            try:
                seen[read(folder / "deep" / "file", folder)] += 1  # KeyError: it led out
            except NoBatchFileError:
                seen["refused"] += 1
            except FileNotFoundError:
                seen["missing"] += 1
    finally:
        done.set()
        swapper.join()
    assert seen["refused"], "the swap was never seen"


def test_removing_follows_no_link_either(folder: Path) -> None:
    (folder / "up").symlink_to(folder.parent)
    for path in (folder / "up" / "secret", folder / ".." / "secret", folder.parent / "secret"):
        with pytest.raises(NoBatchFileError):
            batchfolder.remove(path, within=folder)
    assert (folder.parent / "secret").exists()
    (folder / "file").touch()
    batchfolder.remove(folder / "file", within=folder)
    assert not (folder / "file").exists()
