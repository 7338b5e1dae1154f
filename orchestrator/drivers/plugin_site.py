"""What every plugin environment runs as it starts, as its sitecustomize: two of singer-sdk's intervals, capped.

Plugins made with singer-sdk report their counters once a minute, and its targets say STATE at the end or every five
minutes (a full sink drains without one), so that a run killed in its fourth minute would start again from nothing.
No setting changes either. This does, as the SDK's modules are imported, whoever the plugin's author is; other plugins
are not touched. Python looks for garbage less often, too, and not at all as the process ends: what plugins import
stays, and their records are no cycles; that is a tenth of a sync's CPU. Copied into the environment by the plugin
store; standard library only.

source: singer_sdk 0.54, metrics.Counter._ready_to_log, target_base.Target.drain_all
"""

import atexit
import gc
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any, Final

METRICS_INTERVAL: Final = 2.0  # seconds
STATE_INTERVAL: Final = 5.0  # seconds
GARBAGE_AFTER: Final = 20_000  # objects made and not yet freed; Python's own default is 700


def _cap_metrics(metrics: types.ModuleType) -> None:
    original = metrics.Counter.__init__

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - takes the place of one
        original(self, *args, **kwargs)
        self.log_interval = min(self.log_interval, METRICS_INTERVAL)

    metrics.Counter.__init__ = __init__


def _cap_record_age(target_base: types.ModuleType) -> None:
    target_base.Target._MAX_RECORD_AGE_IN_MINUTES = STATE_INTERVAL / 60  # noqa: SLF001 - there is no public name


_CAPS = {"singer_sdk.metrics": _cap_metrics, "singer_sdk.target_base": _cap_record_age}


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules to cap as everybody else would, and adds to their loading."""

    def __init__(self) -> None:
        self._left = dict(_CAPS)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The usual spec, with a loader that caps after the module's own code ran."""
        del path, target
        cap = self._left.pop(fullname, None)
        if cap is None:
            return None
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, cap)
        return spec


class _Loader(importlib.abc.Loader):
    def __init__(self, loader: importlib.abc.Loader, cap: Callable[[types.ModuleType], None]) -> None:
        self._loader = loader
        self._cap = cap

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType | None:
        """As the usual loader does."""
        return self._loader.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        """Run the module, then cap."""
        self._loader.exec_module(module)
        self._cap(module)


sys.meta_path.insert(0, _Finder())
gc.set_threshold(GARBAGE_AFTER)
atexit.register(gc.freeze)
