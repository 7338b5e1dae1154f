"""The console script: which command is behind which door, and what a short command does not import."""

import json
import subprocess
import sys
from importlib import import_module

import pytest
import typer
from typer.main import get_group

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


def test_what_is_logged_for_operators_is_not_on_the_stderr_of_a_command():
    program = """
import logging
from orchestrator.entry import main

main.run(["connectors", "list", "--json"])
logging.getLogger("orchestrator.domains.runs").error("A run of somebody else could not be ended.")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)

    assert done.stderr == ""
