"""A backfill that is killed: the state is as it was, a retry goes on, and only its window was written."""

from pydantic import SecretStr
from sqlalchemy import text

from orchestrator.domains.integrations.types import Integration
from orchestrator.domains.runs import queries
from orchestrator.kernel.db import engine
from sandboxes.salesforce import LocalOrg
from tests.e2e.conftest import FILE_ROWS
from tests.e2e.installation import Installation, eventually
from tests.e2e.syncing import hold_back


def table(warehouse: SecretStr, sql: str) -> list[str]:
    pool = engine(warehouse)
    try:
        with pool.begin() as connection:
            return list(connection.execute(text(sql)).scalars())
    finally:
        pool.dispose()


def test_a_killed_backfill_left_the_state_alone_and_its_retry_ends_what_it_began(
    installation: Installation, file_by_file: Integration, org: LocalOrg
) -> None:
    assert installation.run("sync", file_by_file.id, "--quiet").code == 0
    state = installation.run("state", file_by_file.id, "history", "--json").json
    stamps = sorted(stamp for (stamp,) in org.store.rows('SELECT "SystemModstamp" FROM "Contact"'))
    first, end = stamps[len(stamps) // 20][:10], stamps[19 * len(stamps) // 20][:10]
    within = sum(first <= stamp[:10] < end for stamp in stamps)
    contacts = f'"{file_by_file.target_schema}"."Contact"'
    with installation.drivers() as drivers:
        warehouse = drivers.warehouse_url
    table(
        warehouse,
        f"""UPDATE {contacts} SET "LastName" = 'spoilt', "_sdc_deleted_at" = now() RETURNING "Id" """,
    )
    table(
        warehouse,
        f"""INSERT INTO {contacts} ("Id", "LastName", "SystemModstamp")
            VALUES ('gone', 'purged', timestamptz '{first}' + interval '1 hour') RETURNING "Id" """,
    )

    hold_back(org, after=FILE_ROWS)
    running = installation.start("backfill", file_by_file.id, "--from", first, "--to", end)

    def begun() -> object:
        assert running.process.poll() is None, running.err
        newest = installation.latest(file_by_file)
        with installation.drivers() as drivers, drivers.db.transaction(newest.org_id) as tx:
            return queries.backfill_state(tx, newest.id)

    eventually(begun, "a first window is committed")
    running.kill()
    run = installation.run("runs", "list", "--integration", file_by_file.id, "--json").json[0]
    assert (run["kind"], run["status"], run["failure"]["kind"]) == ("backfill", "failed", "worker_lost")
    installation.assert_nothing_left()
    assert installation.run("state", file_by_file.id, "history", "--json").json == state

    org.faults.clear()
    done = installation.run("runs", "retry", run["id"], "--json")
    assert done.code == 0, done.err
    [count] = done.json["streams"]
    assert 0 < count["read"] < within, "it goes on where it was"
    assert installation.run("state", file_by_file.id, "history", "--json").json == state

    mended = f"""SELECT "Id" FROM {contacts} WHERE "LastName" <> 'spoilt' AND "Id" <> 'gone'"""
    inside = f"""SELECT "Id" FROM {contacts} WHERE "SystemModstamp" >= '{first}Z' AND "SystemModstamp" < '{end}Z'"""
    assert sorted(table(warehouse, mended)) == sorted({*table(warehouse, inside)} - {"gone"})
    assert len(table(warehouse, mended)) == within
    assert table(warehouse, f"""SELECT "LastName" FROM {contacts} WHERE "Id" = 'gone'""") == ["purged"]
