import fcntl
import os
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from orchestrator.drivers.meltano import directory, removal
from orchestrator.drivers.meltano.directory import default_root, reap, reap_former, reap_sockets, root_in, run_directory
from orchestrator.drivers.meltano.errors import RunStorageError
from orchestrator.drivers.meltano.removal import remove
from orchestrator.drivers.meltano.runner import Meltano


def test_a_run_directory_is_for_its_owner_only_and_goes_with_the_block(tmp_path):
    with run_directory(tmp_path / "runs") as made:
        assert stat.S_IMODE(made.path.stat().st_mode) == 0o700
        assert stat.S_IMODE((tmp_path / "runs").stat().st_mode) == 0o700
        (made.path / "secret").write_text("x")
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


ONES = "run-0123456789abcdef"  # as run directories are called


def test_what_was_left_in_a_folder_that_others_use_too_is_taken_and_nothing_else(tmp_path):
    for name in (ONES, "dead-0123456789abcdef", "run-0123456789ABCDEF", "run-of-somebody", "dead-letters"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("secret")
    (tmp_path / "run-0000000000000000").touch()
    (tmp_path / "run-1111111111111111").symlink_to(tmp_path / "dead-letters")
    with run_directory(tmp_path) as living:
        assert reap_former(tmp_path) == 2
        kept = {path.name for path in tmp_path.iterdir()} - {living.path.name}
    assert kept == {
        "run-0123456789ABCDEF", "run-of-somebody", "dead-letters", "run-0000000000000000", "run-1111111111111111",
    }  # fmt: skip
    assert [path.name for path in (tmp_path / "dead-letters").iterdir()] == ["config.json"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_what_another_user_left_there_stays(tmp_path):
    (tmp_path / ONES).mkdir()
    os.chown(tmp_path / ONES, 65534, 65534)
    assert reap_former(tmp_path) == 0
    assert (tmp_path / ONES).exists()


def test_run_directories_from_before_they_had_a_folder_of_their_own_are_taken(tmp_path):
    (tmp_path / ONES).mkdir()
    assert Meltano(home=tmp_path / "home", runs=root_in(tmp_path)).reap() == 1
    assert list(tmp_path.iterdir()) == []


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
    with run_directory(deep) as made:
        assert len(os.fsencode(made.sockets)) < 90
        assert made.sockets.stat().st_mode & 0o077 == 0
        moved = made.sockets
    assert not moved.exists()


HOURS_AGO = time.time() - 7200


@pytest.fixture
def short(monkeypatch):
    """Stands for /tmp."""
    with tempfile.TemporaryDirectory(prefix="o") as folder:
        monkeypatch.setattr(directory, "_SHORT", Path(folder))
        yield Path(folder)


def folder_of_sockets(short, name, *, listening=False, old=True):
    path = short / f"orchestrator-{name}"
    path.mkdir()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path / "state.sock"))
    if listening:
        listener.listen()
    else:
        listener.close()
    if old:
        os.utime(path, (HOURS_AGO, HOURS_AGO))
    return listener


def test_folders_of_sockets_go_once_nobody_listens_and_nothing_else_does(short):
    folder_of_sockets(short, "dead")
    folder_of_sockets(short, "young", old=False)
    for name in ("empty", "other"):
        (short / f"orchestrator-{name}").mkdir()
    (short / "orchestrator-other" / "letter").touch()
    (short / "orchestrator-file").touch()
    (short / "orchestrator-link").symlink_to(short / "orchestrator-dead")
    (short / "somebody-dead").mkdir()
    for path in short.iterdir():
        if path.name != "orchestrator-young":
            os.utime(path, (HOURS_AGO, HOURS_AGO), follow_symlinks=False)
    with folder_of_sockets(short, "living", listening=True):
        assert reap_sockets() == 2
        kept = {path.name.removeprefix("orchestrator-") for path in short.iterdir()}
    assert kept == {"young", "other", "file", "link", "somebody-dead", "living"}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_another_users_folder_of_sockets_stays(short):
    folder_of_sockets(short, "dead")
    os.chown(short / "orchestrator-dead", 65534, 65534)
    assert reap_sockets() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_where_somebody_else_has_taken_our_name_in_memory_runs_are_made_at_home(tmp_path, monkeypatch):
    memory = tmp_path / "memory"
    memory.mkdir()
    monkeypatch.setattr(directory, "_MEMORY", memory)
    monkeypatch.setattr(directory, "_LEAST_FREE", 0)
    assert default_root(tmp_path) == root_in(memory)
    root_in(memory).mkdir()
    assert default_root(tmp_path) == root_in(memory)
    os.chown(root_in(memory), 65534, 65534)
    assert default_root(tmp_path) == tmp_path / "runs"
    root_in(memory).rmdir()
    root_in(memory).symlink_to(tmp_path)
    assert default_root(tmp_path) == tmp_path / "runs"


def test_what_was_left_at_home_is_reaped_although_runs_are_in_memory_again(tmp_path, short, monkeypatch):
    monkeypatch.setattr(directory, "_MEMORY", tmp_path)
    monkeypatch.setattr(directory, "_LEAST_FREE", 0)
    meltano = Meltano(home=tmp_path / "home")
    assert meltano.runs_root == root_in(tmp_path)
    (tmp_path / "home" / "runs" / ONES).mkdir(parents=True)
    assert meltano.reap() == 1


def test_memory_is_preferred_and_named_by_user(tmp_path):
    root = default_root(tmp_path)
    assert root == tmp_path / "runs" or root.name == f"orchestrator-{os.geteuid()}"


def test_a_run_directory_that_is_being_made_is_never_taken_by_a_reaper(tmp_path, monkeypatch):
    def reap_first(lock, how, real=fcntl.flock):
        monkeypatch.setattr(fcntl, "flock", real)
        reaped.append(reap(tmp_path))
        return real(lock, how)

    reaped = []
    monkeypatch.setattr(fcntl, "flock", reap_first)
    with run_directory(tmp_path) as living:
        assert reaped == [1]
        assert (living.path / "lock").exists()
        assert reap(tmp_path) == 0
        assert living.path.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_run_directory_without_its_lock_yet_may_be_taken_and_another_one_is_made(tmp_path, monkeypatch):
    def reap_first(path, *given, real=os.open):
        monkeypatch.setattr(os, "open", real)
        reaped.append(reap(tmp_path))
        return real(path, *given)

    reaped = []
    monkeypatch.setattr(os, "open", reap_first)
    with run_directory(tmp_path) as living:
        assert reaped == [1]
        assert list(tmp_path.iterdir()) == [living.path]


def test_a_directory_that_was_half_removed_is_taken_too(tmp_path):
    for name in ("run-without-lock", "dead-1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("secret")

    reap(tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_a_link_in_the_place_of_a_directory_goes_and_what_it_leads_to_stays(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine").touch()
    (tmp_path / "run-link").symlink_to(tmp_path / "elsewhere")

    remove(str(tmp_path / "run-link"))

    assert [path.name for path in tmp_path.iterdir()] == ["elsewhere"]
    assert (tmp_path / "elsewhere" / "mine").exists()


REMOVE = """
import os, shutil, sys  # as long as we may read them
top, removal = sys.argv[1:]
scope = {"__name__": "removal"}
exec(compile(removal, "removal", "exec"), scope)
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
os.makedirs(f"{top}/.meltano/run/tap")
open(f"{top}/.meltano/run/tap/tap.config.json", "w").write("secret")
os.symlink(os.path.dirname(top), f"{top}/out")
os.chmod(f"{top}/.meltano/run/tap", 0o500)
os.chmod(f"{top}/.meltano/run", 0)
os.chdir(top)
for _ in range(1100):
    os.mkdir("deep")
    os.chdir("deep")
os.chdir("/")
os.chmod(top, 0o500)
scope["remove"](top)
"""


def test_nothing_a_plugin_does_to_modes_or_depth_keeps_its_files_for_an_ordinary_user():
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        place = Path(folder)
        place.chmod(0o777)
        (place / "kept").touch()
        text = Path(removal.__file__).read_text()
        command = (sys.executable, "-I", "-c", REMOVE, f"{folder}/run-x", text)
        unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=unmeasured)
        assert done.stderr == ""
        assert [path.name for path in place.iterdir()] == ["kept"]
