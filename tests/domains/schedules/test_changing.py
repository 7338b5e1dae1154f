"""What people do to schedules at the same time."""

import threading
from contextlib import suppress

import pytest

from orchestrator.domains.schedules import rules, service
from orchestrator.domains.schedules.errors import ChainCycleError
from orchestrator.domains.schedules.types import Policy, Timing


@pytest.fixture
def at_once(monkeypatch):
    """Call these at the same moment, each having looked before any of them writes; answers what each raised."""

    def call(*calls):
        looked, raised = threading.Barrier(len(calls)), []
        circle = rules.circle

        def looking(*seen):
            found = circle(*seen)
            with suppress(threading.BrokenBarrierError):  # nobody else gets as far as this while one has the lock
                looked.wait(0.5)
            return found

        def one(do):
            try:
                do()
            except ChainCycleError as error:
                raised.append(error)

        monkeypatch.setattr(rules, "circle", looking)
        threads = [threading.Thread(target=one, args=(do,)) for do in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return raised

    return call


def test_of_two_chains_that_close_a_circle_at_the_same_moment_one_is_refused(drivers, place, integration, at_once):
    first, second = integration("A"), integration("B")
    [refused] = at_once(
        lambda: service.add(drivers, first, Timing(after=second.id), Policy()),
        lambda: service.add(drivers, second, Timing(after=first.id), Policy()),
    )
    assert "for ever" in refused.message
    assert len(service.listing(drivers, place.org_id)) == 1


def test_nor_do_two_edits_close_one(drivers, place, integration, schedule, at_once):
    first, second, third = integration("A"), integration("B"), integration("C")
    one, other = schedule(first, Timing(after=third.id)), schedule(second, Timing(after=third.id))
    [refused] = at_once(
        lambda: service.edit(drivers, one, Timing(after=second.id), Policy()),
        lambda: service.edit(drivers, other, Timing(after=first.id), Policy()),
    )
    assert "for ever" in refused.message
    after = {one.integration_id: one.timing.after for one in service.listing(drivers, place.org_id)}
    assert sorted(after.values()).count(third.id) == 1
