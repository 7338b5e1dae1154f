"""What can happen to an installation, each as a block: it strikes at the beginning and is over at the end."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from random import Random
from time import sleep
from typing import TYPE_CHECKING

from tests.chaos.machines import LEASE, Machine, full
from tests.fixtures.forwarder import Forwarder

if TYPE_CHECKING:
    from tests.chaos.place import Place

_SHORT = 2.0  # seconds; long enough to be noticed, too short for a lease


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of fault.

    strike:     with what may be hurt; yields the machine it hurts, None where all are
    needs_disk: whether it fills one, which must then be nobody else's
    """

    name: str
    strike: Callable[["Place", Random], AbstractContextManager[Machine | None]]
    needs_disk: bool = False


def _victim(place: "Place", random: Random, kind: str) -> tuple[Machine, int] | None:
    found = [
        (machine, pid)
        for machine in place.machines
        for pid, (what, _) in sorted(machine.processes().items())
        if what == kind
    ]
    return random.choice(found) if found else None


def _working(place: "Place", random: Random) -> Machine:
    """A machine whose worker has a run, where there is one."""
    busy = [machine for machine in place.machines if machine.processes()]
    return random.choice(busy or place.machines)


def _send(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _killed(kind: str) -> Fault:
    @contextmanager
    def strike(place: "Place", random: Random) -> Iterator[Machine | None]:
        machine, pid = place.soon(lambda: _victim(place, random, kind))
        _send(pid, signal.SIGKILL)
        yield machine

    return Fault(f"SIGKILL {kind}", strike)


def _stopped(kind: str) -> Fault:
    @contextmanager
    def strike(place: "Place", random: Random) -> Iterator[Machine | None]:
        machine, pid = place.soon(lambda: _victim(place, random, kind))
        _send(pid, signal.SIGSTOP)
        try:
            sleep(random.uniform(0.5, LEASE))
            yield machine
        finally:
            _send(pid, signal.SIGCONT)

    return Fault(f"SIGSTOP {kind}", strike)


@contextmanager
def _worker_killed(place: "Place", random: Random) -> Iterator[Machine | None]:
    machine = _working(place, random)
    machine.kill()
    yield machine


@contextmanager
def _worker_stopped(place: "Place", random: Random) -> Iterator[Machine | None]:
    machine = _working(place, random)
    machine.signal(signal.SIGSTOP)
    try:
        sleep(random.uniform(0.5, 2.5 * LEASE))
        yield machine
    finally:
        machine.signal(signal.SIGCONT)


@contextmanager
def _all_killed(place: "Place", random: Random) -> Iterator[Machine | None]:
    for machine in place.machines:
        machine.signal(signal.SIGKILL)
        for pid in machine.processes():
            _send(pid, signal.SIGKILL)
    for machine in place.machines:
        machine.kill()
    yield None


@contextmanager
def _all_stopped(place: "Place", random: Random) -> Iterator[Machine | None]:
    """Worker, Meltano and plugins; only the supervisor goes on, which is there for this."""
    machine = _working(place, random)
    pids = sorted(pid for pid, (kind, _) in machine.processes().items() if kind != "supervisor")
    machine.signal(signal.SIGSTOP)
    for pid in pids:
        _send(pid, signal.SIGSTOP)
    try:
        sleep(random.uniform(0.5, 2.5 * LEASE))
        yield machine
    finally:
        for pid in pids:
            _send(pid, signal.SIGCONT)
        machine.signal(signal.SIGCONT)


@contextmanager
def _postgres_restarted(place: "Place", random: Random) -> Iterator[Machine | None]:
    place.stop_postgres()
    sleep(random.uniform(0, _SHORT))
    place.start_postgres()
    yield None


def _unreachable(name: str, begin: Callable[[Forwarder], None]) -> Fault:
    @contextmanager
    def strike(place: "Place", random: Random) -> Iterator[Machine | None]:
        machine = _working(place, random)
        assert machine.way is not None
        begin(machine.way)
        try:
            sleep(random.uniform(0.5, place.away))
            yield machine
        finally:
            machine.way.mend()

    return Fault(name, strike)


@contextmanager
def _runs_full(place: "Place", random: Random) -> Iterator[Machine | None]:
    machine = _working(place, random)
    with full(machine.disk):
        sleep(random.uniform(0.5, _SHORT))
        yield machine


@contextmanager
def _warehouse_full(place: "Place", random: Random) -> Iterator[Machine | None]:
    """The disk of Postgres: the warehouse, the control plane and their logs."""
    with full(place.disk):
        sleep(random.uniform(0.5, _SHORT))
    place.start_postgres()
    yield None


FAULTS = (
    *(_killed(kind) for kind in ("tap", "target", "meltano", "supervisor")),
    *(_stopped(kind) for kind in ("tap", "target", "meltano")),
    Fault("SIGKILL worker", _worker_killed),
    Fault("SIGSTOP worker", _worker_stopped),
    Fault("SIGKILL of all at once", _all_killed),
    Fault("SIGSTOP of all at once", _all_stopped),
    Fault("Postgres -m immediate", _postgres_restarted),
    _unreachable("Postgres unreachable", Forwarder.cut),
    _unreachable("Postgres silent", Forwarder.silence),
    Fault("disk of runs full", _runs_full, needs_disk=True),
    Fault("disk of Postgres full", _warehouse_full, needs_disk=True),
)
