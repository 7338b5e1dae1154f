"""A worker in a network of its own that is cut off from Postgres: packets are dropped, and nobody is told."""

import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.chaos.checker import check
from tests.chaos.conftest import AWAY
from tests.chaos.machines import LEASE, Machine, at, machine
from tests.chaos.place import Place
from tests.e2e.installation import ROOT, eventually
from tests.fixtures.forwarder import Forwarder, at_unix, to_tcp, to_unix

IMPATIENT = {"tcp_user_timeout": "4000", "keepalives_idle": "2", "keepalives_interval": "1", "connect_timeout": "3"}


def ip(*words: str) -> bool:
    return subprocess.run(("ip", *words), check=False, capture_output=True).returncode == 0


class Network:
    """A network namespace with one wire to ours."""

    def __init__(self) -> None:
        mark = secrets.token_hex(3)
        self.name, self.outer, self.inner = f"chaos-{mark}", f"vo{mark}", f"vi{mark}"
        net = f"10.213.{secrets.randbelow(256)}"  # one of its own: what a killed session left is in nobody's way
        self.outside, self.inside = f"{net}.1", f"{net}.2"

    def make(self) -> bool:
        return all(
            (
                ip("netns", "add", self.name),
                ip("link", "add", self.outer, "type", "veth", "peer", "name", self.inner, "netns", self.name),
                ip("addr", "add", f"{self.outside}/30", "dev", self.outer),
                ip("link", "set", self.outer, "up"),
                ip("-n", self.name, "addr", "add", f"{self.inside}/30", "dev", self.inner),
                ip("-n", self.name, "link", "set", self.inner, "up"),
                ip("-n", self.name, "link", "set", "lo", "up"),
            )
        )

    def cut(self) -> None:
        assert ip("link", "set", self.outer, "down")

    def mend(self) -> None:
        assert ip("link", "set", self.outer, "up")

    def remove(self) -> None:
        ip("link", "del", self.outer)
        ip("netns", "del", self.name)

    @property
    def prefix(self) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self.name)


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network()
    try:
        if shutil.which("ip") is None or not made.make():
            pytest.skip("a network namespace can't be made here; that needs root and iproute2")
        yield made
    finally:
        made.remove()


@pytest.fixture
def far(place: Place, network: Network, room: Path, plugin_environments: Path) -> Iterator[Machine]:
    """A machine that reaches Postgres by the wire alone; the source and the warehouse it reaches in other ways."""
    port = urlsplit(place.org.url).port
    assert port is not None
    path = room / "source.sock"
    with ExitStack() as stack, place.office.drivers() as drivers:
        server = drivers.postgres.start()
        listening = socket.create_server((network.outside, 0))
        way = stack.enter_context(Forwarder(to_unix(f"{server.host}/.s.PGSQL.{server.port}"), listen=listening))
        stack.enter_context(Forwarder(to_tcp(port), listen=at_unix(path)))
        command = (*network.prefix, sys.executable, "-m", "tests.fixtures.forwarder", str(port), str(path))
        relay = stack.enter_context(subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE))
        runs = room / "runs-far"
        runs.mkdir(mode=0o700)
        made = machine(
            "far", room, runs=runs, plugins=plugin_environments, key=drivers.settings.key_file,
            warehouse=drivers.warehouse_url, database=at(server, network.outside, way.port).update_query_dict(IMPATIENT), prefix=network.prefix,
        )  # fmt: skip
        place.machines.append(made)
        place.watcher.machines = place.machines
        yield made
        made.close()
        place.machines.remove(made)
        assert relay.stdin is not None
        relay.stdin.close()


def test_a_worker_that_is_cut_off_ends_its_run_and_another_goes_on_and_later_it_works_again(
    place: Place, network: Network, far: Machine
) -> None:
    began = datetime.now(UTC)
    integration = place.integration()
    far.work()
    far.awake()
    place.slow(seconds=8.0 * LEASE)
    run = place.submit(integration)
    place.soon(lambda: place.written(run))
    with place.befalls(far, "cut off"):
        cut = datetime.now(UTC)
        network.cut()
        eventually(lambda: not far.processes(), "the end of its processes by their supervisor", within=LEASE + 10)
        near = place.machines[0]
        near.work()
        near.awake()
        place.patiently(lambda: place.latest(integration).epoch > 1, "another attempt")
        place.org.rows_per_second = 0.0
        ended = place.ended(integration)
        before = place.rows_of(ended)
        near.kill()
        eventually(lambda: (datetime.now(UTC) - cut).total_seconds() > AWAY, "the end of the cut")
        network.mend()
        place.change()
        again = place.submit(integration)
        assert place.ended(integration).id == again.id, "the one that was cut off does it"
    assert place.rows_of(ended) == before
    assert check(place.history([integration], began)) == []
