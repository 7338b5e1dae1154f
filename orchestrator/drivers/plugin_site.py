"""What every plugin environment runs as it starts, as its sitecustomize: changes to singer-sdk as it is imported.

Two of its intervals are capped. Plugins made with it report their counters once a minute, and its targets say STATE at
the end or every five minutes (a full sink drains without one), so that a run killed in its fourth minute would start
again from nothing. No setting changes either. This does, whoever the plugin's author is; other plugins are not touched.
Its targets read any file that a tap names as a batch file, their own configuration too: here they read none unless they
were given `batch_config`, and then plain files of its folder alone.
What it imports for functions that few runs call is imported when they are called: a fifth of what starting a plugin
takes. Python looks for garbage less often, too, and not at all as the process ends: what plugins import stays, and
their records are no cycles; that is a tenth of a sync's CPU. Copied into the environment by the plugin store; standard
library only.

`hook` is how all this is done; it serves Meltano's own process as well (begin.py).

source: singer_sdk 0.54, metrics.Counter._ready_to_log, target_base.Target.drain_all
"""

import atexit
import gc
import sys
from importlib import import_module
from types import ModuleType

TYPE_CHECKING = False  # typing and importlib.abc are much of what starting Python takes
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from importlib.machinery import ModuleSpec
    from typing import Any

    Change = Callable[[ModuleType], None]

METRICS_INTERVAL = 2.0  # seconds
STATE_INTERVAL = 5.0  # seconds
GARBAGE_AFTER = 20_000  # objects made and not yet freed; Python's own default is 700


def _cap_metrics(metrics: ModuleType) -> None:
    original = metrics.Counter.__init__

    def __init__(self: "Any", *args: "Any", **kwargs: "Any") -> None:  # noqa: N807 - takes the place of one
        original(self, *args, **kwargs)
        self.log_interval = min(self.log_interval, METRICS_INTERVAL)

    metrics.Counter.__init__ = __init__


def _cap_record_age(target_base: ModuleType) -> None:
    target_base.Target._MAX_RECORD_AGE_IN_MINUTES = STATE_INTERVAL / 60  # noqa: SLF001 - there is no public name


def _expect_batches_if_told(target_base: ModuleType) -> None:
    original = target_base.Target._process_batch_message  # noqa: SLF001 - the method that targets override

    def _process_batch_message(self: "Any", message_dict: "Any") -> None:
        if not self.config.get("batch_config"):
            sys.exit("The tap names batch files, but this loader was not set to read any.")
        original(self, message_dict)

    target_base.Target._process_batch_message = _process_batch_message  # noqa: SLF001 - no public name


def _change_targets(target_base: ModuleType) -> None:
    _cap_record_age(target_base)
    _expect_batches_if_told(target_base)


def _read_own_files_only(batch: ModuleType) -> None:
    """What is read has to be a plain file in the root, with no other name and by no link: a tap may name anything."""
    original = batch.StorageTarget.open

    def open_(self: "Any", filename: str, mode: str = "rb") -> "Any":
        if "r" not in mode:
            return original(self, filename, mode)
        import os
        import stat
        from urllib.parse import unquote, urlsplit

        root = urlsplit(self.root)
        if root.scheme not in {"", "file"} or root.netloc not in {"", "localhost"} or os.sep in filename:
            sys.exit(f"The batch file {filename} is not in the folder of batch files.")
        try:
            folder = os.open(unquote(root.path), os.O_RDONLY | os.O_DIRECTORY)
            number = os.open(filename, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
            os.close(folder)
        except OSError as error:
            sys.exit(f"The batch file {filename} cannot be read ({error.strerror}).")
        found = os.fstat(number)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            sys.exit(f"The batch file {filename} is no plain file of its own.")
        return os.fdopen(number, mode)

    batch.StorageTarget.open = open_


_AFTER = {
    "singer_sdk.metrics": _cap_metrics,
    "singer_sdk.target_base": _change_targets,
    "singer_sdk.helpers._batch": _read_own_files_only,
}
_WITHOUT = {
    "singer_sdk.target_base": ("joblib",),  # drains several sinks at once
    "singer_sdk.helpers._batch": ("upath",),  # files of the SDK's own BATCH messages
    "singer_sdk.about": ("packaging.specifiers", "packaging.version"),  # --about
    "singer_sdk.streams.rest": ("backoff",),  # retries of its own REST streams; brings asyncio
}


def hook(*, after: "Mapping[str, Change]", without: "Mapping[str, Sequence[str]]") -> None:
    """Have modules change as they are imported.

    after:    module → what is done to it once its own code ran
    without:  module → modules that it imports without needing them yet. It gets stand-ins whose every attribute is a
              function that imports and calls the real thing, so it may only call what it takes from them
    """
    sys.meta_path.insert(0, _Finder(after, without))


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> "Any":
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*args: "Any", **kwargs: "Any") -> "Any":
            return getattr(import_module(self.__name__), name)(*args, **kwargs)

        return call


class _Finder:
    """Finds the modules to change as everybody else would, and adds to their loading."""

    def __init__(self, after: "Mapping[str, Change]", without: "Mapping[str, Sequence[str]]") -> None:
        self._after = after
        self._without = without
        self._left = {*after, *without}

    def find_spec(
        self, name: str, path: "Sequence[str] | None" = None, target: ModuleType | None = None
    ) -> "ModuleSpec | None":
        """The usual spec, with a loader of ours around its own."""
        if name not in self._left:
            return None
        self._left.remove(name)
        others = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, others), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self._after.get(name), self._without.get(name, ()))  # type: ignore[assignment] # duck
        return spec


class _Loader:
    def __init__(self, loader: "Any", after: "Change | None", without: "Sequence[str]") -> None:
        self._loader = loader
        self._after = after
        self._without = without

    def create_module(self, spec: "ModuleSpec") -> ModuleType | None:
        """As the usual loader does."""
        created: ModuleType | None = self._loader.create_module(spec)
        return created

    def exec_module(self, module: ModuleType) -> None:
        """Run the module among stand-ins, then change it."""
        stand_ins = {name: _StandIn(name) for name in self._without if name not in sys.modules}
        for name, stand_in in stand_ins.items():
            package, _, own = name.rpartition(".")
            if package in stand_ins:
                setattr(stand_ins[package], own, stand_in)
        sys.modules.update(stand_ins)
        try:
            self._loader.exec_module(module)
        finally:
            for name in stand_ins:
                del sys.modules[name]
        if self._after is not None:
            self._after(module)


if __name__ == "sitecustomize":
    hook(after=_AFTER, without=_WITHOUT)
    gc.set_threshold(GARBAGE_AFTER)
    atexit.register(gc.freeze)
