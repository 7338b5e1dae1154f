"""The console script: which command is behind which door, and what a short command does not import."""

import json
import os
import subprocess
import sys
from importlib import import_module

import pytest
import typer
from typer.main import get_group

from orchestrator.drivers.meltano import ahead
from orchestrator.entry import start
from orchestrator.entry.main import DOORS


@pytest.mark.parametrize("door", DOORS)
def test_each_door_has_the_commands_that_are_looked_for_behind_it(door):
    app = typer.Typer()
    app.callback()(lambda: None)

    import_module(door).mount(app)

    assert sorted(get_group(app).commands) == sorted(DOORS[door])


def test_a_listing_imports_nothing_that_only_other_commands_need():
    program = (
        "import json, sys; from orchestrator.entry import main; main.mount('integrations');"
        "print(json.dumps(sorted(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    imported = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert not imported & {
        "meltano",
        "fastapi",
        "supabase",
        "urllib3",
        "cryptography",
        "alembic",
        "jsonschema",
        "rich",
        "prometheus_client",
        "opentelemetry",
    }


def test_memory_is_private_before_any_secret_is_read():
    program = """
import resource, sys
from orchestrator.entry import main, wiring
from orchestrator.kernel import memory

kept, before = [], memory.keep_private
memory.keep_private = lambda: (kept.append(True), before())
wiring.drivers = lambda: sys.exit(f"{kept} {resource.getrlimit(resource.RLIMIT_CORE)}")
main.run(["runs", "list"])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, text=True)

    assert done.stderr == "[True] (0, 0)\n"


def test_the_module_runs_as_the_command_does():
    done = subprocess.run([sys.executable, "-m", "orchestrator", "--version"], capture_output=True, check=True)

    assert done.stdout.strip()


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [["--version"], ["connectors", "list", "--json"], ["connectors", "list"]])
def test_a_result_that_finds_no_room_is_no_success_and_says_why(words, unbuffered):
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        done = subprocess.run(
            [sys.executable, "-m", "orchestrator", *words],
            env={"PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            text=True,
        )

    assert done.returncode == 75
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [["connectors", "list", "--json"], ["connectors", "list"], ["--help"]])
def test_a_reader_who_left_before_anything_was_written_is_no_error(words, unbuffered):
    reading, writing = os.pipe()
    os.close(reading)
    program = [sys.executable, "-m", "orchestrator", *words]
    settings = {"PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(program, env=settings, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)

    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(("words", "code"), [("connectors list", 0), ("connectors list --json", 0), ("nonsense", 2)])
def test_closed_streams_are_nobodys_trouble(words, code):
    program = f'"{sys.executable}" -m orchestrator {words} >&- 2>&- <&-'

    assert subprocess.run(program, shell=True, env={}, check=False).returncode == code


def test_what_is_logged_for_operators_is_not_on_the_stderr_of_a_command():
    program = """
import logging
from orchestrator.entry import main

main.run(["connectors", "list", "--json"])
logging.getLogger("orchestrator.domains.runs").error("A run of somebody else could not be ended.")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)

    assert done.stderr == ""


@pytest.mark.parametrize(
    ("words", "begun"),
    [
        ("sync crm", 1),
        ("sync --quiet crm", 1),
        ("test crm --json", 1),
        ("sync", 0),
        ("sync --help", 0),
        ("sync crm -d", 0),
        ("runs list", 0),
        ("", 0),
    ],
)
def test_meltano_is_imported_ahead_where_the_command_will_start_it_and_never_left_behind(monkeypatch, words, begun):
    calls = []
    monkeypatch.setattr(sys, "argv", ["orchestrator", *words.split()])
    monkeypatch.setattr(ahead, "begin", lambda: calls.append("begin"))
    monkeypatch.setattr(ahead, "end", lambda: calls.append("end"))
    monkeypatch.setattr("orchestrator.entry.main.run", lambda _: calls.append("run") or 3)
    monkeypatch.setattr(start, "leave", sys.exit)
    monkeypatch.setattr(start.stdio, "prepare", lambda: None)

    with pytest.raises(SystemExit) as ended:
        start.main()

    assert (calls, ended.value.code) == (["begin"] * begun + ["run", "end"], 3)


def test_ctrl_c_before_a_command_has_begun_is_no_traceback(monkeypatch, capsys):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "argv", ["orchestrator", "runs", "list"])
    monkeypatch.setattr("orchestrator.entry.main.mount", interrupted)
    monkeypatch.setattr(start, "leave", sys.exit)
    monkeypatch.setattr(start.stdio, "prepare", lambda: None)

    with pytest.raises(SystemExit) as ended:
        start.main()

    assert (ended.value.code, capsys.readouterr().err) == (130, "Stopped.\n")
