import json
import os
import resource
from pathlib import Path

import pytest

from orchestrator.drivers.meltano import landlock, launcher, relay, seccomp
from tests.drivers.meltano.conftest import described


@pytest.fixture
def launched(tmp_path, monkeypatch):
    """Run the launcher up to the point where it would become the plugin; what it would become."""

    def launch(*arguments, **description):
        (tmp_path / "launch").mkdir()
        (tmp_path / "extractor").mkdir()
        full = {"executable": "/venv/bin/tap", **description}
        (tmp_path / "launch" / "extractor").write_text(described(**full))
        became = []
        monkeypatch.setenv("MELTANO_PROJECT_ROOT", str(tmp_path))
        monkeypatch.setattr(os, "execve", lambda *given: became.append(given))
        monkeypatch.setattr(os, "umask", masks.append)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(launcher, "_first_to_go", lambda: None)
        monkeypatch.setattr(relay, "stand_between", lambda: None)
        monkeypatch.setattr(seccomp, "no_unix_sockets", lambda: confined.update(sockets=False))
        monkeypatch.setattr(landlock, "confine", lambda **given: confined.update(given))
        launcher.main(["extractor", *arguments])
        return became[0]

    confined, masks = launch.confined, launch.masks = {}, []
    return launch


def test_the_plugin_gets_its_arguments_and_the_named_variables_only(launched, monkeypatch, tmp_path):
    monkeypatch.setenv("TAP_X_PASSWORD", "secret")
    monkeypatch.setenv("TZ", "UTC")

    became = launched("--discover", **{"pass": ["TZ", "LANG_THAT_IS_NOT_SET"]}, set="EXTRA=1")

    own = f"{tmp_path}/extractor"
    environment = {"TZ": "UTC", "EXTRA": "1", "HOME": f"{own}/home", "TMPDIR": f"{own}/tmp"}
    environment |= {"JOBLIB_MULTIPROCESSING": "0"}
    assert became == ("/venv/bin/tap", ["/venv/bin/tap", "--discover"], environment)


def test_a_program_that_has_a_shell_look_for_its_python_is_started_by_that_python(launched, tmp_path):
    program = tmp_path / "bin" / "tap"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\n"
        """\'\'\'exec' "$(dirname -- "$(realpath -- "$0")")"/'python' "$0" "$@"\n"""
        "' '''\nimport tap\n"
    )
    (tmp_path / "tap").symlink_to(program)

    python, arguments, _ = launched("--discover", executable=str(tmp_path / "tap"))

    assert python == f"{program.parent}/python"
    assert arguments == [python, str(tmp_path / "tap"), "--discover"]


@pytest.mark.parametrize("text", ["#!/bin/sh\nexec something\n", "#!/venv/bin/python\n", ""])
def test_every_other_program_is_started_as_it_is(launched, tmp_path, text):
    (tmp_path / "tap").write_text(text)

    program, arguments, _ = launched(executable=str(tmp_path / "tap"))

    assert [program, arguments] == [str(tmp_path / "tap"), [str(tmp_path / "tap")]]


def test_the_plugin_works_in_a_folder_of_its_own_and_what_it_writes_is_for_nobody_else(launched, tmp_path):
    launched()

    assert Path.cwd() == tmp_path / "extractor"
    assert launched.masks == [0o077]


def test_settings_that_came_as_text_are_put_back_as_often_as_it_is_started(launched, tmp_path):
    config = tmp_path / "tap.config.json"
    config.write_text('{"rate": "0.5", "name": "0.5"}')

    program, arguments, _ = launched("--config", str(config), "--state", "s", decode=["rate", "absent"])

    assert json.loads(config.read_text()) == {"rate": "0.5", "name": "0.5"}
    assert arguments[0] == program
    assert arguments[3:] == ["--state", "s"]
    with open(arguments[2]) as decoded:  # noqa: PTH123 - a path as the plugin would open it
        assert json.load(decoded) == {"rate": 0.5, "name": "0.5"}


def test_limits_are_set(launched, monkeypatch):
    limits = []
    monkeypatch.setattr(resource, "setrlimit", lambda *given: limits.append(given))

    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 200))

    launched(limit=["CORE=0", "NOFILE=4096"])

    assert limits == [(resource.RLIMIT_CORE, (0, 0)), (resource.RLIMIT_NOFILE, (200, 200))]


def test_a_plugin_may_reach_what_it_is_given_and_nothing_else_of_the_run(launched, tmp_path):
    for name in ("tap.config.json", "target.config.json", "ca.pem"):
        (tmp_path / name).touch()

    launched(
        "--config", f"{tmp_path}/tap.config.json", "--state", "/does/not/exist",
        set=f"SSL_CERT_FILE={tmp_path}/ca.pem", readable=["/opt/client"], writable=["batches", "/exports"],
    )  # fmt: skip

    of_the_run = {path for path in launched.confined["writable"] if path.startswith(f"{tmp_path}")}
    assert of_the_run == {f"{tmp_path}/extractor", f"{tmp_path}/tap.config.json", f"{tmp_path}/batches"}
    assert "/exports" in launched.confined["writable"]
    readable = launched.confined["readable"]
    assert {"/venv", "/opt/client", f"{tmp_path}/ca.pem"} <= set(readable)
    assert not {"/", "/etc", "/root", "/home", "/tmp", "/run", "/dev", "/dev/shm", str(tmp_path)} & set(readable)


def test_a_plugin_has_unix_sockets_only_where_it_is_told_to_use_one(launched):
    launched(sockets="unix")
    assert "sockets" not in launched.confined


def test_every_other_plugin_has_none(launched):
    launched()
    assert launched.confined["sockets"] is False
