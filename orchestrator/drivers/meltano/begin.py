"""Start Meltano as its own script does, with an environment nobody else can read and no search for garbage.

Started as a script by the Python that runs the orchestrator, isolated (-I): begin.py PROGRAM ARGUMENT…, where PROGRAM
is what Meltano's script would be called, and stdin is a JSON object: the environment (empty: as it is). It holds the
secrets of both plugins, so it is not what the process is started with (/proc shows that to all of our user), and the
process itself is closed to them: memory, open files, core dump. Root could read them all the same; supervise.py takes
care of that.

Nothing that is imported is ever garbage, and nothing is worth collecting when the process ends; looking for it, again
and again and at the end, is a sixth of what starting Meltano takes. A seventh more is what it imports for commands that
are not ours, and the ten migrations of a database that is new with each run: its tables are made as they are today.
A tenth is copying the environment for every setting that is looked for, two thousand times: it is copied once. Of
what a run takes before its plugins start, a third is asking with each setting whether a feature is on, and going
through all settings to find one by its name: both are remembered.
"""

import ctypes
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NoReturn

from orchestrator.drivers.leaving import leave
from orchestrator.drivers.plugin_site import hook

Meltano = Callable[[], int | None]
_PR_SET_DUMPABLE, _PR_SET_NAME = 4, 15
_WITHOUT = {
    "meltano.cli.interactive.config": ("jinja2", "rich.markdown"),  # config set --interactive
    "meltano.core.manifest.manifest": ("jsonschema", "jsonschema.protocols", "jsonschema.validators"),  # compile
    "meltano.core.sqlalchemy": ("sqlalchemy.dialects.postgresql",),  # its database in Postgres
    "meltano.core.task_sets": ("jsonschema", "jsonschema.exceptions"),  # job add
    "meltano.core.utils": ("dateparser",),  # state, plugin freshness
}


def _make_tables_at_once(migration_service: ModuleType) -> None:
    """What its migrations lead to; importing alembic alone takes longer."""

    def upgrade(self: Any, *, silent: bool = False) -> None:
        del silent
        from meltano.core.models import SystemModel

        SystemModel.metadata.create_all(self.engine)

    migration_service.MigrationService.upgrade = upgrade


def _copy_environment_once(settings_service: ModuleType) -> None:
    """Meltano changes nothing in it once it looks for settings."""
    copied: dict[str, str] = {}

    def env(self: Any) -> dict[str, str]:
        if not copied:
            copied.update(os.environ)  # noqa: TID251 - Meltano's own
        return {**copied, **self.env_override}

    settings_service.SettingsService.env = property(env)


def _find_settings_by_name(settings_service: ModuleType) -> None:
    """As it does, but for looking at each; what it knows of them is a list that it replaces, but never changes."""
    known: dict[int, tuple[Any, dict[str, Any]]] = {}  # the lists are kept, so no other one is taken for them

    def find_setting(self: Any, name: str) -> Any:
        settings = self.definitions()
        listed, by_name = known.get(id(self), (None, {}))
        if listed is not settings:
            by_name = {}
            for setting in settings:
                for called in (setting.name, *setting.aliases):
                    by_name.setdefault(called, setting)
            known[id(self)] = settings, by_name
        return by_name.get(name)

    settings_service.SettingsService.find_setting = find_setting


def _change_settings(settings_service: ModuleType) -> None:
    _copy_environment_once(settings_service)
    _find_settings_by_name(settings_service)


def _look_up_flags_once(settings_store: ModuleType) -> None:
    """Whether a feature is on, which Meltano asks with each setting, stays as it is as long as we do."""
    get = settings_store.AutoStoreManager.get
    known: dict[tuple[int, str], tuple[Any, Any, dict[str, Any]]] = {}

    def get_once(self: Any, name: str, *args: Any, **options: Any) -> tuple[Any, dict[str, Any]]:
        if not name.startswith("ff.") or args or options != {"cast_value": True}:
            return get(self, name, *args, **options)  # type: ignore[no-any-return]  # a tuple, too
        asked = id(self.settings_service), name
        if asked not in known:
            known[asked] = self.settings_service, *get(self, name, **options)
        _, value, facts = known[asked]
        return value, {**facts}

    settings_store.AutoStoreManager.get = get_once


_AFTER = {
    "meltano.core.migration_service": _make_tables_at_once,
    "meltano.core.settings_service": _change_settings,
    "meltano.core.settings_store": _look_up_flags_once,
}


def take_environment() -> None:
    """Read it from stdin, which is empty afterwards."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    with open(0, "rb", closefd=False) as given:
        text = given.read()
    if text:
        os.environ.clear()  # noqa: TID251 - this is a process of its own, without our settings
        os.environ.update(json.loads(text))  # noqa: TID251 - as above
        time.tzset()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def load() -> Meltano:
    """Import Meltano; its command line."""
    gc.disable()
    hook(after=_AFTER, without=_WITHOUT)
    from meltano.cli import main

    gc.freeze()
    gc.enable()
    meltano: Meltano = main
    return meltano


def become(meltano: Meltano, words: Sequence[str]) -> NoReturn:
    """Be Meltano, which has been loaded, for whoever lists processes, too; ends the process as Meltano does.

    words: what Meltano is called, and told
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NAME, b"meltano", 0, 0, 0)
    sys.argv[:] = words
    try:
        sys.exit(meltano())
    except SystemExit as ending:
        if not isinstance(ending.code, int | None):
            raise
        leave(ending.code or 0)


def main() -> None:
    """The environment comes first, since what is imported may look at it."""
    take_environment()
    become(load(), sys.argv[1:])


if __name__ == "__main__":
    main()
