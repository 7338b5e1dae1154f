"""Known bugs in real workers, each caught by the rule that is there for it: a checker that never failed proves nothing."""

import os
import signal
from contextlib import suppress
from datetime import UTC, datetime
from random import Random

import pytest

from orchestrator.domains.integrations.types import Integration
from orchestrator.drivers.meltano.supervise import remove
from tests.chaos.checker import check
from tests.chaos.faults import FAULTS
from tests.chaos.machines import LEASE, Machine
from tests.chaos.place import POINTS, Place

LASTING = 8.0 * LEASE  # seconds that the source takes, so that a lease ends meanwhile
LONG = pytest.mark.skipif(POINTS < 100, reason="takes long, and the table of rules has it too: CHAOS_POINTS=100")
KILL_TARGET = next(fault for fault in FAULTS if fault.name == "SIGKILL target")


@pytest.fixture
def integration(place: Place) -> Integration:
    return place.integration()


def with_bug(machine: Machine, bug: str) -> None:
    machine.work(bug, module="tests.chaos.planted")
    machine.awake()


def caught(place: Place, integration: Integration, began: datetime) -> set[str]:
    """The rules that were broken, once the run is over and its worker is gone."""
    place.ended(integration)
    for machine in place.machines:
        machine.kill()
    found = {one.rule for one in check(place.history([integration], began))}
    for machine in place.machines:
        for pid in machine.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for path in machine.runs.glob("*"):
            remove(str(path))
    return found


SHOW_BY_THEMSELVES = {
    "ended_twice": "one_terminal_event",
    "directory_left": "nothing_left",
    "process_left": "no_process_outlives_its_run",
    "state_goes_back": "state_never_goes_back",
}


def test_bugs_that_show_by_themselves_are_caught_each_by_its_own_rule(place: Place, integration: Integration) -> None:
    began = datetime.now(UTC)
    with_bug(place.machines[0], ",".join(SHOW_BY_THEMSELVES))
    place.submit(integration)
    assert caught(place, integration, began) >= set(SHOW_BY_THEMSELVES.values())


@pytest.mark.parametrize(
    ("bug", "rule"),
    [
        pytest.param("state_before_rows", "no_record_lost"),
        pytest.param("epoch_not_raised", "epochs_rise", marks=LONG),
    ],
)
def test_a_bug_that_shows_once_a_part_was_killed_is_caught(
    place: Place, integration: Integration, bug: str, rule: str
) -> None:
    began = datetime.now(UTC)
    with_bug(place.machines[0], bug)
    place.slow(seconds=LASTING)
    run = place.submit(integration)
    place.soon(lambda: place.written(run))
    place.strike(KILL_TARGET, Random(1))
    place.org.rows_per_second = 0.0
    assert rule in caught(place, integration, began)


@LONG
def test_a_lease_that_is_not_renewed_is_caught(place: Place, integration: Integration) -> None:
    began = datetime.now(UTC)
    with_bug(place.machines[0], "lease_not_renewed")
    place.slow(seconds=LASTING)
    place.submit(integration)
    place.patiently(lambda: place.latest(integration).epoch > 1, f"another attempt: {place.machines[0].said}")
    place.org.rows_per_second = 0.0
    assert "lost_for_a_reason" in caught(place, integration, began)


@LONG
def test_writes_that_are_not_fenced_are_caught(place: Place, integration: Integration) -> None:
    began = datetime.now(UTC)
    first, second = place.machines
    with_bug(first, "no_fencing")
    place.slow(seconds=LASTING)
    run = place.submit(integration)
    place.soon(lambda: place.written(run))
    first.signal(signal.SIGSTOP)
    second.work()
    second.awake()
    place.patiently(lambda: place.latest(integration).epoch > 1, "another attempt")
    first.signal(signal.SIGCONT)
    place.ended(integration)
    assert "state_is_fenced" in caught(place, integration, began)
