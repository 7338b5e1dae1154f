"""A worker that was stopped, or cut off, for longer than its lease: another goes on, and the late one writes nothing."""

import signal
from datetime import UTC, datetime

from tests.chaos.checker import check
from tests.chaos.machines import LEASE
from tests.chaos.place import Place
from tests.e2e.installation import eventually


def test_a_paused_worker_ends_its_processes_by_its_lease_and_writes_nothing_when_it_wakes_up(place: Place) -> None:
    began = datetime.now(UTC)
    integration = place.integration()
    first, second = place.machines
    first.work()
    first.awake()
    place.slow(seconds=8.0 * LEASE)
    run = place.submit(integration)
    place.soon(lambda: place.written(run))
    with place.befalls(first, "SIGSTOP worker"):
        first.signal(signal.SIGSTOP)
        second.work()
        second.awake()
        place.patiently(lambda: place.latest(integration).epoch > 1, "another attempt")
        eventually(
            lambda: not first.processes(), "the end of its processes by their supervisor, since the worker can't"
        )
        eventually(lambda: not list(first.runs.iterdir()), "the removal of its run's directory")
        place.org.rows_per_second = 0.0
        ended = place.ended(integration)
        before = place.rows_of(ended)
        first.signal(signal.SIGCONT)
        place.patiently(lambda: "somebody else's" in first.said, "the late worker finds out")
    assert place.rows_of(ended) == before, "neither state nor counts, lines, events or an end"
    second.kill()
    place.change()
    again = place.submit(integration)
    assert place.ended(integration).id == again.id
    assert check(place.history([integration], began)) == []
