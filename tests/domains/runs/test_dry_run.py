"""A dry run loads into a scratch schema of its own: real tables and state never know of it."""

import pytest
from sqlalchemy import text

from orchestrator.domains.identity.types import Place
from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.rules import schema_problem, scratch_name
from orchestrator.domains.integrations.types import NewIntegration
from orchestrator.domains.runs import queries, service
from orchestrator.domains.runs.types import RunKind, RunStatus
from orchestrator.drivers.liveness import WorkerMark
from orchestrator.drivers.meltano.output import Source
from orchestrator.entry import wiring
from orchestrator.entry.observing.observer import Observer
from orchestrator.kernel.db import Role, engine
from tests.fakes.meltano import counted, singer_state
from tests.fixtures.drivers import GITHUB, USERS, as_killed

MARCH = {"replication_key": "at", "replication_key_value": "2024-03-01"}
SCRATCH = "our_code__dry_run"


@pytest.fixture
def warehouse(drivers):
    """Statements in the warehouse; nothing of a test stays there."""
    pool = engine(drivers.warehouse_url)

    def sql(statement):
        with pool.begin() as connection:
            found = connection.execute(text(statement))
            return list(found.scalars()) if found.returns_rows else []

    yield sql
    sql(f"DROP SCHEMA IF EXISTS {SCRATCH} CASCADE")
    pool.dispose()


@pytest.fixture
def loading(meltano, warehouse):
    """A loader that makes a table in the schema it is told; the schemas that were there while it loaded."""
    seen = []

    def load(fake):
        schema = fake.ran[-1].loader.config["default_target_schema"]
        seen.append(schema)
        warehouse(f"CREATE TABLE {schema}.users AS SELECT 1 AS id")

    meltano.act = load
    meltano.outputs = [counted(Source.TAP, "users", 3), counted(Source.TARGET, "users", 3)]
    meltano.states = [singer_state(users=MARCH)]
    return seen


def schemas(warehouse):
    return warehouse("SELECT nspname::text FROM pg_namespace WHERE nspname LIKE '%dry_run'")


def test_it_tells_what_came_and_leaves_nothing_behind(command, drivers, ready, loading, warehouse):
    answer = command("sync", "Our code", "--dry-run", "--json")
    assert answer.code == 0
    assert (answer.json["kind"], answer.json["streams"][0]["written"]) == ("dry_run", 3)
    assert loading == [SCRATCH]
    assert schemas(warehouse) == []
    assert service.show(drivers, ready) == []
    assert answer.json["scratch_schema"] is None


def test_it_reads_what_the_next_sync_would(drivers, ready, loading, meltano, warehouse):
    meltano.act = None
    service.execute(drivers, ready, service.request(drivers, ready))
    state = service.show(drivers, ready)
    service.execute(drivers, ready, service.request(drivers, ready, kind=RunKind.DRY_RUN))
    assert meltano.began_with == singer_state(users=MARCH)
    assert service.show(drivers, ready) == state


def test_what_is_kept_stays_until_it_is_discarded(command, ready, loading, warehouse):
    answer = command("sync", "Our code", "--dry-run", "--keep")
    assert warehouse(f"SELECT id FROM {SCRATCH}.users") == [1]
    run = command("runs", "list", "--json").json[0]
    assert f"orchestrator runs discard {run['id']}" in answer.err
    assert run["scratch_schema"] == SCRATCH
    assert command("runs", "discard", run["id"]).code == 0
    assert schemas(warehouse) == []
    again = command("runs", "discard", run["id"])
    assert (again.code, "has no scratch schema" in again.err) == (5, True)


def test_the_next_one_begins_with_an_empty_schema(command, ready, loading, warehouse):
    assert command("sync", "Our code", "--dry-run", "--keep").code == 0
    assert command("sync", "Our code", "--dry-run", "--keep").code == 0
    assert warehouse(f"SELECT count(*) FROM {SCRATCH}.users") == [1]
    kept = [run["scratch_schema"] for run in command("runs", "list", "--json").json]
    assert kept == [SCRATCH, None]


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_however_it_ends_the_schema_goes(drivers, ready, loading, meltano, warehouse, end):
    load = meltano.act

    def act(fake):
        load(fake)
        if end == "cancelled":
            fake.cancel.set()

    meltano.act, meltano.code = act, 1
    run = service.execute(drivers, ready, service.request(drivers, ready, kind=RunKind.DRY_RUN))
    assert run.status == end
    assert schemas(warehouse) == []


@pytest.fixture
def left(drivers, ready, warehouse):
    """The schema of a dry run whose worker died."""
    run = service.request(drivers, ready, kind=RunKind.DRY_RUN)
    dead = WorkerMark(drivers.workers_folder)
    with drivers.db.transaction(ready.org_id, role=Role.WORKER) as tx:
        queries.claim(tx, run.id, worker=dead.name, lease=drivers.settings.runs.lease)
        queries.note_scratch(tx, run, SCRATCH)
    integrations.make_scratch(drivers, ready)
    as_killed(dead)
    assert [one.status for one in service.recover(drivers)] == [RunStatus.FAILED]
    assert schemas(warehouse) == [SCRATCH]


def test_what_a_dead_one_left_goes_with_the_next_pruning(command, left, warehouse):
    assert command("runs", "prune", "--older-than", "90d", "--yes", "--json").json["scratch_schemas"] == 1
    assert schemas(warehouse) == []


def test_it_goes_by_itself_where_nothing_else_waits_for_its_server(drivers, left, warehouse):
    for tick in wiring.ticks(Observer()):
        tick(drivers)
        tick(drivers)
    assert schemas(warehouse) == [SCRATCH]
    *_, clearer = wiring.calls(Observer())
    clearer(drivers)
    clearer(drivers)
    assert schemas(warehouse) == []


def test_a_schema_that_no_dry_run_made_is_left_alone(command, ready, loading, warehouse):
    warehouse(f"CREATE SCHEMA {SCRATCH}")
    answer = command("sync", "Our code", "--dry-run")
    assert answer.code == 1
    assert "no dry run made" in answer.err
    assert schemas(warehouse) == [SCRATCH]
    assert command("runs", "list", "--json").json[0]["scratch_schema"] is None


def test_a_destination_without_schemas_is_refused(command, drivers, place: Place, meltano):
    folder = NewIntegration(type="jsonl", name="Files", values={"folder": "files"})
    integrations.add_destination(drivers, place, folder)
    new = NewIntegration(type="github", name="Lines", values=GITHUB, destination="Files")
    made = integrations.add(drivers, place, new)
    meltano.catalog = {"streams": [USERS]}
    integrations.discover(drivers, made)
    integrations.choose(drivers, made, ["*"], selected=True)
    answer = command("sync", "Lines", "--dry-run")
    assert answer.code == 5
    assert "need a warehouse in Postgres" in answer.err


def test_keeping_makes_no_sense_without_a_dry_run(command, ready):
    assert command("sync", "Our code", "--keep").code == 2


@pytest.mark.parametrize("schema", ["crm", "a" * 63])
def test_nothing_else_can_have_the_name_of_a_scratch_schema(schema):
    assert len(scratch_name(schema)) <= 63
    assert schema_problem(scratch_name(schema)) is not None
    assert scratch_name("a" * 62 + "b") != scratch_name("a" * 62 + "c")
