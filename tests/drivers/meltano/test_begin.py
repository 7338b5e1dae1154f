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
import atexit, runpy, sys
@atexit.register
def looked():
    print([name for name in {begin._WITHOUT!r} if name not in sys.modules])
    print([name for names in {begin._WITHOUT!r}.values() for name in names if name in sys.modules])
sys.argv = ["begin.py", "meltano", "--version"]
runpy.run_path({begin.__file__!r}, run_name="__main__")
"""

    assert _ran(sys.executable, "-I", "-c", program).stdout.splitlines()[1:] == ["[]", "[]"]


FOUND = """
import sys
from pathlib import Path
from orchestrator.drivers.meltano import begin
from meltano.core import settings_service, settings_store
from meltano.core.project import Project
from meltano.core.project_settings_service import ProjectSettingsService

service = ProjectSettingsService(Project(Path(sys.argv[1])))
theirs = settings_service.SettingsService.find_setting
names = [name for one in service.definitions() for name in (one.name, *one.aliases)] + ["no.such_setting"]
expected = [theirs(service, name) for name in names]
flags = [f"ff.{flag}" for flag in ("strict_env_var_mode", "plugin_locks_required")]
said = [service.get_with_metadata(flag) for flag in flags]
begin._change_settings(settings_service)
begin._look_up_flags_once(settings_store)
print(len(names))
print([service.find_setting(name) for name in names] == expected)
print([service.get_with_metadata(flag) for flag in flags * 2] == said * 2)
service._setting_defs = expected[:1]
print([service.find_setting(name) for name in names[:2]] == [expected[0], None])
"""


def test_meltanos_settings_are_what_they_are_without_looking_through_all_of_them(tmp_path):
    (tmp_path / "meltano.yml").write_text("version: 1\nff: {strict_env_var_mode: true}\n")

    *_, count, found, flags, found_anew = _ran(sys.executable, "-c", FOUND, tmp_path).stdout.split()

    assert int(count) > 20
    assert [found, flags, found_anew] == ["True", "True", "True"]
