"""Schedules of integrations, and a hand on the clock: slots are moved into the past, since the database's time counts."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.types import NewIntegration
from orchestrator.domains.runs import service as runs
from orchestrator.domains.schedules import service
from orchestrator.domains.schedules.types import Policy, Timing
from tests.fixtures.drivers import GITHUB

HOURLY = Timing(every=timedelta(hours=1))


@pytest.fixture
def integration(drivers, place):
    """Make an integration of this name; nothing of it ever runs."""

    def make(name):
        return integrations.add(drivers, place, NewIntegration(type="github", name=name, values=GITHUB))

    return make


@pytest.fixture
def schedule(drivers):
    """Add a schedule: hourly unless told otherwise."""

    def make(of, timing=HOURLY, policy=None, **more):
        return service.add(drivers, of, timing, policy or Policy(), **more)

    return make


@pytest.fixture
def clock(drivers):
    """Lets time go by for schedules and runs, as if the database's clock had moved."""

    def sql(statement, **values):
        with drivers.db.connection() as connection:
            return connection.execute(text(statement), values)

    def by(time, *schedules):
        """Everything of these schedules, or of all, was so much earlier."""
        sql(
            "UPDATE orchestrator.schedules SET next_slot = next_slot - :time, next_fire_at = next_fire_at - :time,"
            " anchor = anchor - :time WHERE CAST(:ids AS uuid[]) IS NULL OR id = ANY(:ids)",
            time=time,
            ids=[_uuid(one) for one in schedules] or None,
        )

        with drivers.db.connection() as connection:  # what became of slots so far was so much earlier, too
            ours = "CAST(:ids AS uuid[]) IS NULL OR schedule_id = ANY(:ids)"
            values = {"time": time, "ids": [_uuid(one) for one in schedules] or None}
            for statement in (
                f"CREATE TEMP TABLE moved ON COMMIT DROP AS SELECT * FROM orchestrator.schedule_slots WHERE {ours}",
                f"DELETE FROM orchestrator.schedule_slots WHERE {ours}",
                "UPDATE moved SET slot = slot - :time, until = until - :time",
                "INSERT INTO orchestrator.schedule_slots SELECT * FROM moved",
            ):
                connection.execute(text(statement), values)

    def end_runs(status="succeeded"):
        """Every run that is under way ends so."""
        for run in runs.listing(drivers, _org(drivers)):
            if not run.status.ended:
                sql(
                    "UPDATE orchestrator.runs SET status = :status, finished_at = clock_timestamp() WHERE id = :id",
                    status=status,
                    id=_plain("run", run.id),
                )

    return SimpleNamespace(by=by, sql=sql, end_runs=end_runs)


def _uuid(schedule):
    return _plain("sch", schedule.id)


def _plain(prefix, text_id):
    from orchestrator.kernel import ids

    return ids.decode(prefix, text_id)


def _org(drivers):
    from orchestrator.domains.identity import service as identity

    return identity.find(drivers.db, drivers.settings.organization).org_id


@pytest.fixture
def outcomes(drivers):
    """What became of a schedule's slots, oldest first: (outcome, reason, count)."""

    def read(schedule):
        return [
            (slot.outcome.value, slot.reason, slot.count)
            for slot in reversed(service.slots(drivers, schedule, limit=1000))
        ]

    return read
