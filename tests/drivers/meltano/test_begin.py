"""Meltano begins as its own script would begin it; only garbage is looked for less often."""

import subprocess
import sys
from pathlib import Path

from orchestrator.drivers.meltano import begin

MELTANO = Path(sys.executable).with_name("meltano")


def _ran(*command, given=""):
    words = [str(part) for part in command]
    return subprocess.run(words, input=given, capture_output=True, text=True, check=True, timeout=60)


def test_it_says_what_meltanos_own_script_says():
    ours = _ran(sys.executable, "-I", begin.__file__, MELTANO, "--version")

    assert ours.stdout == _ran(MELTANO, "--version").stdout


def test_what_meltano_imports_is_never_looked_through_for_garbage_but_the_rest_is():
    program = f"""
import gc, runpy, sys, types
cli = sys.modules["meltano"] = types.ModuleType("meltano")
sys.modules["meltano.cli"] = cli
cli.main = lambda: print(gc.isenabled(), gc.get_freeze_count() > 1000, sys.argv)
sys.argv = ["begin.py", "meltano", "run", "x"]
runpy.run_path({begin.__file__!r}, run_name="__main__")
"""

    assert _ran(sys.executable, "-I", "-c", program).stdout == "True True ['meltano', 'run', 'x']\n"


def test_the_environment_comes_on_stdin_and_nothing_of_it_can_be_seen_from_outside(monkeypatch):
    monkeypatch.setenv("OURS", "1")
    program = f"""
import ctypes, os, runpy, sys, types
cli = sys.modules["meltano"] = types.ModuleType("meltano")
sys.modules["meltano.cli"] = cli
dumpable = lambda: ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) if sys.platform == "linux" else 0
nothing = lambda: os.path.samestat(os.fstat(0), os.stat(os.devnull))  # what was given is a file, to be read again
cli.main = lambda: print(dict(os.environ), nothing(), dumpable())
sys.argv = ["begin.py", "meltano"]
runpy.run_path({begin.__file__!r}, run_name="__main__")
"""

    said = _ran(sys.executable, "-I", "-c", program, given='{"SECRET": "hunter2-\\ud83d\\ude00"}').stdout

    assert said == "{'SECRET': 'hunter2-😀'} True 0\n"


TABLES = """
import logging, sqlite3, sys
from meltano import cli
from meltano.core import migration_service
from orchestrator.drivers.meltano import begin
from sqlalchemy import create_engine

if sys.argv[1] == "ours":
    begin._make_tables_at_once(migration_service)
migration_service.MigrationService(create_engine(f"sqlite:///{sys.argv[2]}")).upgrade(silent=True)
for table in ("runs", "state", "plugin_settings"):
    print(table, sorted(row[1] for row in sqlite3.connect(sys.argv[2]).execute(f"pragma table_info({table})")))
"""


def test_meltanos_own_database_has_the_tables_that_its_migrations_lead_to(tmp_path):
    ours = _ran(sys.executable, "-I", "-c", TABLES, "ours", tmp_path / "ours.db").stdout

    assert "run_id" in ours
    assert ours == _ran(sys.executable, "-I", "-c", TABLES, "theirs", tmp_path / "theirs.db").stdout


def test_meltano_starts_without_what_it_has_for_other_commands_only():
    program = f"""
import runpy, sys
sys.argv = ["begin.py", "meltano", "--version"]
try:
    runpy.run_path({begin.__file__!r}, run_name="__main__")
except SystemExit:
    print([name for name in {begin._WITHOUT!r} if name not in sys.modules])
    print([name for names in {begin._WITHOUT!r}.values() for name in names if name in sys.modules])
"""

    assert _ran(sys.executable, "-I", "-c", program).stdout.splitlines()[1:] == ["[]", "[]"]
