"""What a loader leaves for its next run is taken only where it is the loader's own plain file."""

import os
from pathlib import Path

import pytest

from orchestrator.drivers.meltano import notes


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "loader").mkdir()
    return tmp_path


def test_a_loaders_file_is_taken_as_it_is(run):
    notes.file(run).write_text('{"ü": "\n"}', encoding="utf-8")
    assert notes.take(run) == '{"ü": "\n"}'


def test_where_there_is_none_nothing_is_taken(run, tmp_path):
    assert notes.take(run) is None
    assert notes.take(tmp_path / "gone") is None


@pytest.mark.parametrize("content", [b"\xff", b"a\0b"])
def test_what_postgres_cannot_keep_is_left(run, content):
    notes.file(run).write_bytes(content)
    assert notes.take(run) is None


def test_more_than_a_bound_is_left(run):
    with notes.file(run).open("wb") as file:
        file.truncate(notes.LIMIT + 1)
    assert notes.take(run) is None
    os.truncate(notes.file(run), 0)
    assert notes.take(run) == ""


@pytest.mark.parametrize("kind", ["link", "hard link", "link to the folder", "queue", "folder"])
def test_no_file_of_ours_is_read_for_a_loader_and_nothing_waited_for(run, tmp_path_factory, kind):
    ours = tmp_path_factory.mktemp("ours")
    (ours / "notes.json").write_text("secret")
    if kind == "link":
        notes.file(run).symlink_to(ours / "notes.json")
    elif kind == "hard link":
        notes.file(run).hardlink_to(ours / "notes.json")
    elif kind == "link to the folder":
        (run / "loader").rmdir()
        (run / "loader").symlink_to(ours)
    elif kind == "queue":
        os.mkfifo(notes.file(run))
    else:
        notes.file(run).mkdir()
    assert notes.take(run) is None
