"""The command line in a process of its own, everything real but Meltano and the plugin environments."""

import fcntl
import sys
import termios

from orchestrator.drivers.bundle import Drivers
from orchestrator.entry.main import run
from orchestrator.kernel import settings
from tests.fakes.meltano import FakeMeltano, FakePlugins


def _entry(name: str) -> dict[str, object]:
    return {
        "tap_stream_id": name,
        "stream": name,
        "key_properties": ["Id"],
        "schema": {"type": "object", "properties": {"Id": {"type": "string"}, "Name": {"type": "string"}}},
        "metadata": [{"breadcrumb": [], "metadata": {"inclusion": "available"}}],
    }


def main() -> int:
    """Make the terminal ours, so that hidden input works as for a person, and run the command."""
    if sys.stdin.isatty():
        fcntl.ioctl(sys.stdin, termios.TIOCSCTTY, 0)
    drivers = Drivers(settings=settings.load())
    catalog = {"streams": [_entry(name) for name in ("Account", "Asset", "Contact", "Lead", "Opportunity", "User")]}
    drivers.__dict__.update(meltano=FakeMeltano(catalog=catalog, first_stream="Account"), plugins=FakePlugins())
    return run(sys.argv[1:], drivers=drivers)


if __name__ == "__main__":
    sys.exit(main())
