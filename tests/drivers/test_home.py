import os
from pathlib import Path

import pytest

from orchestrator.drivers.home import HomeError, make_private


def mode(folder):
    return folder.stat().st_mode & 0o7777


def test_a_new_folder_is_its_owners_alone(tmp_path):
    make_private(tmp_path / "a" / "b")
    assert mode(tmp_path / "a" / "b") == 0o700


@pytest.mark.parametrize("open_to", [0o755, 0o750, 0o711, 0o775])
def test_a_folder_that_is_there_is_closed_to_others(tmp_path, open_to):
    folder = tmp_path / "home"
    folder.mkdir()
    folder.chmod(open_to)
    make_private(folder)
    assert mode(folder) == 0o700


@pytest.mark.parametrize("shared", [0o777, 0o1777])
def test_a_folder_everybody_writes_to_is_left_as_it_is(tmp_path, shared):
    folder = tmp_path / "tmp"
    folder.mkdir()
    folder.chmod(shared)
    with pytest.raises(HomeError, match="everybody may write"):
        make_private(folder)
    assert mode(folder) == shared


def test_a_persons_own_home_is_left_as_it_is(tmp_path, monkeypatch):
    tmp_path.chmod(0o755)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    with pytest.raises(HomeError, match="not a folder of its own"):
        make_private(tmp_path)
    assert mode(tmp_path) == 0o755


@pytest.mark.parametrize("open_to", [0o700, 0o755])
def test_a_folder_of_somebody_else_is_refused(tmp_path, monkeypatch, open_to):
    folder = tmp_path / "home"
    folder.mkdir()
    folder.chmod(open_to)
    if os.geteuid() == 0:
        os.chown(folder, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(HomeError, match="another user"):
        make_private(folder)
    assert mode(folder) == open_to


def test_a_file_in_its_place_is_named(tmp_path):
    (tmp_path / "home").write_text("")
    with pytest.raises(HomeError, match="can't be made"):
        make_private(tmp_path / "home")
