"""The command line in a process of its own, everything real but Meltano and the plugin environments."""

import fcntl
import os
import sys
import termios
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from orchestrator.drivers.bundle import Drivers
from orchestrator.drivers.meltano.runner import Exit
from orchestrator.drivers.meltano.values import Project
from orchestrator.entry.main import run
from orchestrator.kernel import environment
from tests.fakes.meltano import FakeMeltano, FakePlugins, singer_state


def _entry(name: str) -> dict[str, object]:
    return {
        "tap_stream_id": name,
        "stream": name,
        "key_properties": ["Id"],
        "schema": {"type": "object", "properties": {"Id": {"type": "string"}, "Name": {"type": "string"}}},
        "metadata": [{"breadcrumb": [], "metadata": {"inclusion": "available"}}],
    }


class Busy:
    """Meltano for many runs at once: each takes so long and commits state in the middle."""

    def __init__(self, like: FakeMeltano, seconds: float) -> None:
        self._like, self._seconds = like, seconds

    def run(self, plan: Project, *, cancel: threading.Event, save_state: Callable[..., object], **more: object) -> Exit:
        def act(_: FakeMeltano) -> None:
            time.sleep(self._seconds / 2)
            save_state("state", singer_state(users={"replication_key": "at", "replication_key_value": "2024-03-01"}))
            cancel.wait(self._seconds / 2)

        return replace(self._like, act=act, ran=[]).run(plan, cancel=cancel, save_state=save_state, **more)

    def reap(self) -> int:
        return 0


def main() -> int:
    """Make the terminal ours, so that hidden input works as for a person, and run the command."""
    if sys.stdin.isatty():
        fcntl.ioctl(sys.stdin, termios.TIOCSCTTY, 0)
    drivers = Drivers(settings=environment.load())
    seconds = float(os.environ.get("FAKE_RUN_SECONDS", "0"))
    catalog = {"streams": [_entry(name) for name in ("Account", "Asset", "Contact", "Lead", "Opportunity", "User")]}
    meltano = FakeMeltano(catalog=catalog, first_stream="Account")
    drivers.__dict__.update(meltano=Busy(meltano, seconds) if seconds else meltano, plugins=FakePlugins())
    return run(sys.argv[1:], drivers=drivers)


if __name__ == "__main__":
    sys.exit(main())
