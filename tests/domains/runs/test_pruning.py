from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from orchestrator.domains.identity import service as identity
from orchestrator.domains.runs import queries, service
from orchestrator.domains.runs.types import RunStatus
from orchestrator.drivers.meltano.output import Source
from tests.fakes.meltano import counted, said, singer_state

MONTH = timedelta(days=30)


@pytest.fixture
def sync(drivers, ready, meltano, _migrated):
    """Run a sync that ended so many days ago."""

    def call(days, *, code=0):
        meltano.code = code
        meltano.outputs = [said("hello"), counted(Source.TAP, "users", 5), counted(Source.TARGET, "users", 5)]
        meltano.states = [singer_state(users={"page": days})]
        run = service.execute(drivers, ready, service.request(drivers, ready))
        with _migrated.begin() as owner:
            owner.execute(
                text("UPDATE orchestrator.runs SET finished_at = now() - make_interval(days => :days) WHERE id = :id"),
                {"days": days, "id": _uuid(run.id)},
            )
        return run

    return call


def _uuid(run_id):
    from orchestrator.kernel import ids

    return ids.decode("run", run_id)


def whole(drivers, run):
    """Whether what it said and counted is still there; half of it would be neither."""
    there = bool(service.logs(drivers, run)), bool(service.counts(drivers, run))
    assert there[0] == there[1]
    return there[0]


def test_what_old_runs_said_and_counted_goes_and_the_runs_stay(drivers, ready, sync):
    old, recent, newest = sync(100), sync(10), sync(1)
    assert service.prune(drivers, ready.org_id, keep=MONTH) == 3
    assert [whole(drivers, run) for run in (old, recent, newest)] == [False, True, True]
    assert service.find(drivers, ready.org_id, old.id).status is RunStatus.SUCCEEDED
    assert service.show(drivers, ready)[0].bookmark == {"completed": {"page": 1}}
    assert service.prune(drivers, ready.org_id, keep=MONTH) == 0


@pytest.mark.parametrize(
    ("keep", "policy"),
    [
        pytest.param(
            timedelta(days=90), "workers remove what is older than ORCHESTRATOR_RUNS__KEEP, 90 d", id="workers"
        ),
        pytest.param(MONTH, "by orchestrator runs prune, or while it was shorter than now", id="by-hand"),
    ],
)
def test_the_log_of_a_pruned_run_says_so_and_by_which_policy(command, drivers, ready, sync, keep, policy):
    old, newest = sync(100 if keep > MONTH else 40), sync(1)
    service.prune(drivers, ready.org_id, keep=keep)
    for view in ("logs", "show"):
        assert policy in command("runs", view, old.id).err
        assert "removed" not in command("runs", view, newest.id).err
    assert command("runs", "logs", old.id).out == ""
    assert command("runs", "show", old.id, "--json").json["pruned_at"]


def test_the_newest_run_and_the_newest_good_one_stay_however_old(drivers, ready, sync):
    older, good, bad, newest = sync(400), sync(300), sync(200, code=1), sync(100, code=1)
    service.prune(drivers, ready.org_id, keep=MONTH)
    assert [whole(drivers, run) for run in (older, good, bad, newest)] == [False, True, False, True]


def test_other_organizations_keep_theirs(drivers, ready, sync):
    old, _ = sync(100), sync(1)
    other = identity.ensure(drivers.db, "other")
    assert service.prune(drivers, other.org_id, keep=MONTH) == 0
    assert whole(drivers, old)


def test_nobody_can_delete_history_past_the_function_or_empty_it_by_it(drivers, ready, sync):
    sync(100), sync(1)
    for statement in (
        "DELETE FROM orchestrator.integration_sync_logs",
        "DELETE FROM orchestrator.run_streams",
        "DELETE FROM orchestrator.events",
        "DELETE FROM orchestrator.schedule_slots",
        "SELECT orchestrator.prune_history(interval '1 hour', 100)",
    ):
        with pytest.raises(DBAPIError), drivers.db.transaction(ready.org_id) as tx:
            tx.execute(text(statement))


def test_old_events_go_and_wake_nothing_when_they_do(drivers, ready, sync):
    sync(1)
    with drivers.db.connection() as owner:
        events = owner.scalar(text("SELECT count(*) FROM orchestrator.events"))
        owner.execute(text("UPDATE orchestrator.events SET created_at = now() - interval '100 days', id = :old"
                           " WHERE name = 'run.started.v1'"), {"old": _old_id()})  # fmt: skip
    assert service.prune(drivers, ready.org_id, keep=timedelta(days=36_500)) == 0
    assert service.prune(drivers, ready.org_id, keep=MONTH) == 1
    with drivers.db.connection() as owner:
        left = owner.execute(
            text("SELECT count(*), count(*) FILTER (WHERE name = 'run.started.v1') FROM orchestrator.events")
        ).one()
    assert tuple(left) == (events - 1, 0)


def _old_id():
    """As an event has it that was emitted 100 days ago."""
    from orchestrator.kernel import ids

    return UUID(int=ids.uuid7().int - (int(timedelta(days=100).total_seconds() * 1000) << 80))


def test_it_goes_in_batches(drivers, ready, sync):
    sync(100), sync(1)
    with drivers.db.transaction(ready.org_id) as tx:
        assert queries.prune(tx, keep=MONTH, batch=1) == 2
        assert queries.prune(tx, keep=MONTH, batch=1) == 1
        assert queries.prune(tx, keep=MONTH, batch=1) is None


def test_a_worker_does_it_once_a_day_for_every_organization(drivers, ready, sync):
    identity.ensure(drivers.db, "other")
    old, _ = sync(100), sync(1)
    pruner = service.pruner()
    for _ in range(6):
        pruner(drivers)
    assert not whole(drivers, old)
    second = sync(100)
    sync(1)
    for _ in range(6):
        pruner(drivers)
    assert whole(drivers, second)


def test_the_command_says_how_much_went_and_refuses_what_is_recent(command, ready, sync):
    sync(100), sync(1)
    assert command("runs", "prune", "--older-than", "12h").code == 2
    assert command("runs", "prune", "--older-than", "0d").code == 2
    unasked = command("runs", "prune", "--older-than", "90d", "--json")
    assert (unasked.code, "needs a yes" in unasked.err) == (2, True)
    assert command("runs", "prune", "--older-than", "90d", "--json", "--yes").json["removed"] == 3
    assert "nothing that old" in command("runs", "prune", "--older-than", "90d", "--yes").err
