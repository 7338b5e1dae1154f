"""An office with Postgres and two machines, each with a disk and a way to Postgres of its own."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sandboxes.salesforce import LocalOrg
from tests.chaos.machines import LEASE, at, machine, own_disk
from tests.chaos.place import ROWS, Place
from tests.chaos.reading import Watcher
from tests.e2e.installation import Installation
from tests.e2e.rooms import own_room
from tests.fixtures.forwarder import Forwarder, to_unix

AWAY = float(os.environ.get("CHAOS_AWAY", 1.5 * LEASE))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def room() -> Iterator[Path]:
    """A folder in memory, with a short name: sockets are in it."""
    with own_room("chaos", mode=0o755) as path:
        yield path


@pytest.fixture(scope="session")
def _place(room: Path, plugin_environments: Path) -> Iterator[Place]:
    with ExitStack() as stack:
        org = stack.enter_context(LocalOrg(counts=ROWS))
        disks = stack.enter_context(own_disk(room / "office", size="3g", mode="0755"))
        (room / "office" / "home").mkdir(mode=0o700)
        (room / "office" / "home" / "plugins").symlink_to(plugin_environments)
        office = Installation(home=room / "office" / "home", runs=room / "office-runs")
        office.runs.mkdir(mode=0o700)
        office.install()
        with office.drivers() as drivers:
            server, warehouse = drivers.postgres.start(), drivers.warehouse_url
            key = drivers.settings.key_file
            watcher = Watcher([])
            place = Place(office=office, disk=room / "office", org=org, watcher=watcher, away=AWAY, disks=disks)
            for name in ("a", "b"):
                disks &= stack.enter_context(own_disk(room / f"runs-{name}", size="64m"))
                way = stack.enter_context(Forwarder(to_unix(f"{server.host}/.s.PGSQL.{server.port}")))
                made = machine(
                    name, room, runs=room / f"runs-{name}", plugins=plugin_environments, key=key,
                    warehouse=warehouse, database=at(server, "127.0.0.1", way.port),
                )  # fmt: skip
                made.way = way
                place.machines.append(made)
            watcher.machines = place.machines
            place.disks = disks
            stack.enter_context(watcher)
            yield place
            for one in place.machines:
                one.close()
        office.close()
        with office.drivers() as drivers:
            drivers.postgres.stop_if_unused()


@pytest.fixture
def place(_place: Place) -> Iterator[Place]:
    """The session's place, without workers at the beginning and at the end."""
    _place.hurts.clear()
    yield _place
    for one in _place.machines:
        one.close()
        one.worker = None
    _place.org.rows_per_second = 0.0
