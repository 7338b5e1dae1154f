from datetime import timedelta

import pytest

from orchestrator.domains.runs import service as runs
from orchestrator.domains.schedules import service
from orchestrator.kernel import ids

MONTH = timedelta(days=30)


@pytest.fixture
def slot(clock):
    """A slot of a schedule, so many days ago; a row of them where it ended later."""

    def make(schedule, days, outcome="skipped", *, until=None):
        clock.sql(
            "INSERT INTO orchestrator.schedule_slots (org_id, schedule_id, slot, outcome, until, decided_at)"
            " VALUES (:org, :schedule, now() - make_interval(days => :days), :outcome,"
            " now() - make_interval(days => :until), now() - make_interval(days => :days))",
            org=ids.decode("org", schedule.org_id),
            schedule=ids.decode("sch", schedule.id),
            days=days,
            outcome=outcome,
            until=until,
        )

    return make


def test_old_slots_go_but_a_schedules_newest_and_what_still_waits(drivers, org_id, integration, schedule, slot):
    of = integration("A")
    busy, quiet = schedule(of), schedule(of)
    for days in (100, 90, 1):
        slot(busy, days)
    slot(busy, 80, "waiting")
    slot(busy, 70, "missed", until=2)
    slot(quiet, 200)

    def left(one):
        return [found.outcome.value for found in service.slots(drivers, one)]

    assert runs.prune(drivers, org_id, keep=MONTH) == 2
    assert left(busy) == ["skipped", "missed", "waiting"]
    assert left(quiet) == ["skipped"]
    assert runs.prune(drivers, org_id, keep=MONTH) == 0
