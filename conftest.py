"""For the tests of all parts: several at a time (make test), on a machine that may be busy."""

import os

import pytest
from hypothesis import settings

settings.register_profile("busy machine", deadline=None)
settings.load_profile("busy machine")

for name in ("http_proxy", "https_proxy", "all_proxy"):  # what tests talk to is on this machine
    os.environ.pop(name, None)
    os.environ.pop(name.upper(), None)
os.umask(0o022)  # some tests hand a copy of the code to another user


def pytest_xdist_auto_num_workers() -> int:
    """One more than cores, since many tests wait for processes; each worker starts a Postgres, so not too many."""
    return min((os.cpu_count() or 1) + 1, 8)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where several work, the longest tests come first, so that none is left to one worker at the end."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.get_closest_marker("e2e") is None)
