import os
import stat

import pytest

from orchestrator.drivers.meltano.directory import default_root, reap, run_directory
from orchestrator.drivers.meltano.errors import RunStorageError


def test_a_run_directory_is_for_its_owner_only_and_goes_with_the_block(tmp_path):
    with run_directory(tmp_path / "runs") as directory:
        assert stat.S_IMODE(directory.path.stat().st_mode) == 0o700
        assert stat.S_IMODE((tmp_path / "runs").stat().st_mode) == 0o700
        (directory.path / "secret").write_text("x")
    assert list((tmp_path / "runs").iterdir()) == []


def test_it_goes_when_the_block_fails_too(tmp_path):
    with pytest.raises(ZeroDivisionError), run_directory(tmp_path):
        1 / 0  # noqa: B018
    assert list(tmp_path.iterdir()) == []


def test_the_reaper_leaves_the_living_and_takes_the_dead(tmp_path):
    with run_directory(tmp_path) as living:
        dead = tmp_path / "run-dead"
        dead.mkdir()
        (dead / "lock").touch()
        (dead / "config.json").write_text("secret")

        assert reap(tmp_path) == 1
        assert not dead.exists()
        assert living.path.exists()


def test_the_reaper_has_nothing_to_do_where_nothing_ever_ran(tmp_path):
    assert reap(tmp_path / "never") == 0


def test_a_root_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "runs").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(RunStorageError, match="somebody else"), run_directory(tmp_path / "runs"):
        pass


def test_a_root_that_cannot_be_made_is_said_with_its_reason(tmp_path):
    (tmp_path / "file").touch()

    with (
        pytest.raises(RunStorageError, match=r"Not a directory|File exists"),
        run_directory(tmp_path / "file" / "runs"),
    ):
        pass


def test_sockets_move_to_a_short_path_where_the_directory_is_too_long_for_them(tmp_path):
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    with run_directory(deep) as directory:
        assert len(os.fsencode(directory.sockets)) < 90
        assert directory.sockets.stat().st_mode & 0o077 == 0
        moved = directory.sockets
    assert not moved.exists()


def test_memory_is_preferred_and_named_by_user(tmp_path):
    root = default_root(tmp_path)
    assert root == tmp_path / "runs" or root.name == f"orchestrator-{os.geteuid()}"
