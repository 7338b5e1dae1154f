"""Whoever else uses the database: what they made, set, hold or do at the same time changes no row and no right."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from copydesk import Batches, Load, Warehouse, config, ended, lines, record, schema, start, state
from firstload import Run
from psycopg import Connection, sql
from psycopg.errors import LockNotAvailable, UndefinedTable

from target_postgres_copy import names, patience
from target_postgres_copy.errors import DestinationError

NAMED = {"Name": {"type": "string"}}
OVERWRITE = {"load_method": "overwrite"}


@contextmanager
def reading(warehouse: Warehouse) -> Iterator[Connection]:
    """A transaction of somebody who has looked at T and does not end it."""
    with psycopg.connect(warehouse.url.replace("+psycopg", ""), prepare_threshold=None) as own:
        own.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(warehouse.schema, "T")))
        yield own
        own.rollback()


@contextmanager
def role_setting(administrator: Connection, name: str, value: str) -> Iterator[None]:
    role = "warehouse"
    administrator.execute(f"ALTER ROLE {role} SET {name} = {value}")
    try:
        yield
    finally:
        administrator.execute(f"ALTER ROLE {role} RESET {name}")


@pytest.mark.parametrize("method", ["upsert", "overwrite"])
def test_functions_and_operators_of_others_are_never_called(
    load: Load, warehouse: Warehouse, administrator: Connection, batches: Batches, method: str
) -> None:
    """They fit better than Postgres's own, and lie in a schema that is looked through: CVE-2018-1058."""
    trap = "public.trap(anyelement, anyelement) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE 'trapped'; END$$"
    better = {
        "hashtextextended(text, integer)": "bigint",
        "array_to_string(text[], text)": "text",
        "format_type(oid, integer)": "text",
        "trunc(numeric)": "numeric",
    }
    load(schema("T", **NAMED), record("T", Id="1", Name="a"), record("T", Id="2", Name="b"))
    warehouse.run('ALTER TABLE {}."T" ALTER "Id" TYPE character varying')
    try:
        administrator.execute(f"CREATE FUNCTION {trap}")
        administrator.execute(
            "CREATE FUNCTION public.trap(varchar, varchar) RETURNS boolean LANGUAGE plpgsql"
            " AS $$BEGIN RAISE 'trapped'; END$$"
        )
        administrator.execute(
            "CREATE OPERATOR public.= (FUNCTION = public.trap, LEFTARG = varchar, RIGHTARG = varchar)"
        )
        for name, type_ in better.items():
            administrator.execute(
                f"CREATE FUNCTION public.{name} RETURNS {type_} LANGUAGE plpgsql AS $$BEGIN RAISE 'trapped'; END$$"
            )
        rows = batches.csv("T", "Id,Name\n1,c\n3,d\n3,e\n")
        gone = record("T", Id="2", _sdc_deleted_at="2024-01-01T00:00:00Z")
        with role_setting(administrator, "search_path", "public, pg_catalog"):
            load(schema("T", **NAMED), rows, gone, load_method=method, hard_delete=True)
    finally:
        for name in better:
            administrator.execute(f"DROP FUNCTION IF EXISTS public.{name}")
        administrator.execute("DROP FUNCTION IF EXISTS public.trap(varchar, varchar) CASCADE")
        administrator.execute("DROP FUNCTION IF EXISTS public.trap(anyelement, anyelement) CASCADE")
    if method == "upsert":
        assert warehouse.rows("T", "Id", "Name") == [("1", "c"), ("3", "e")]


def test_a_role_that_works_in_snapshots_loads_on_many_connections(
    load: Load, warehouse: Warehouse, administrator: Connection
) -> None:
    rows = [record("T", Id=str(number % 5), Name=f"{number:04}") for number in range(300)]
    load(schema("T", **NAMED), record("T", Id="0", Name="before"))
    with role_setting(administrator, "default_transaction_isolation", "'repeatable read'"):
        load(schema("T", **NAMED), *rows, batch_size_rows=3, max_connections=4)
    assert [name for _, name in warehouse.rows("T", "Id", "Name")] == ["0295", "0296", "0297", "0298", "0299"]


def test_two_runs_that_bring_the_same_keys_in_another_order_take_turns(load: Load, warehouse: Warehouse) -> None:
    rows = [record("T", Id=f"{number:02}", Name="new") for number in range(21)]
    load(schema("T", **NAMED), *rows)
    with ThreadPoolExecutor(2) as pool, reading(warehouse) as somebody:
        table = sql.Identifier(warehouse.schema, "T")
        somebody.execute(sql.SQL("SELECT FROM {} WHERE \"Id\" = '10' FOR UPDATE").format(table))
        runs = [pool.submit(load, schema("T", **NAMED), *some) for some in (rows, rows[::-1])]
        _until_they_wait(warehouse, 2)
        somebody.rollback()
        assert [run.result(60) for run in runs] == [[], []]
    assert warehouse.count("T") == 21


def test_a_schema_that_somebody_makes_at_the_same_time_is_there_all_the_same(load: Load, warehouse: Warehouse) -> None:
    with (
        ThreadPoolExecutor(1) as pool,
        psycopg.connect(warehouse.url.replace("+psycopg", ""), prepare_threshold=None) as own,
    ):
        own.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(warehouse.schema)))
        run = pool.submit(load, schema("T"), record("T", Id="1"))
        _until_they_wait(warehouse, 1)
        own.commit()
        assert run.result(60) == []
    assert warehouse.count("T") == 1


def _until_they_wait(warehouse: Warehouse, loads: int) -> None:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND wait_event_type = 'Lock'"
    until = time.monotonic() + 60
    while warehouse.connection.execute(waiting, ("target-postgres-copy",)).fetchone() != (loads,):
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.parametrize("done", [True, False])
def test_of_two_runs_that_overwrite_one_table_the_earlier_one_ends_and_promises_nothing(
    load: Load, warehouse: Warehouse, tmp_path: Path, done: bool
) -> None:
    load(schema("T", **NAMED), record("T", Id="0", Name="before"), state(1), **OVERWRITE)
    early = start(tmp_path, config(warehouse, **OVERWRITE, batch_size_rows=1))
    early.stdin.write("".join(f"{line}\n" for line in lines([schema("T", **NAMED), record("T", Id="1", Name="early")])))
    early.stdin.flush()
    until = time.monotonic() + 60
    while len(warehouse.tables()) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    assert len(warehouse.tables()) == 2
    late = [record("T", Id="2", Name="late"), state(2), record("T", Id="3", Name="late")]
    more = [state(3)] if done else []  # without it, what the later one built aside is forgotten
    load(schema("T", **NAMED), *late, *more, **OVERWRITE)
    end = ended(early, record("T", Id="4", Name="early"), state(3))
    assert (end.code, end.states) == (1, [])
    assert "Another sync has begun to overwrite" in end.failure["message"]
    assert end.failure["retryable"]
    assert {name for _, name in warehouse.rows("T", "Id", "Name")} == ({"late"} if done else {"before"})


def test_the_earlier_of_two_overwrites_ends_while_the_later_one_goes_on(
    load: Load, warehouse: Warehouse, begun: Callable[..., Run]
) -> None:
    load(schema("T", **NAMED), record("T", Id="0", Name="before"), state(1), **OVERWRITE)
    runs = []
    for who in ("early", "late"):
        runs.append(begun(**OVERWRITE, batch_size_rows=1).process)
        runs[-1].stdin.write(f"{json.dumps(record('T', Id='1', Name=who))}\n")
        runs[-1].stdin.flush()
        until = time.monotonic() + 60
        while _names_aside(warehouse) != [(who,)]:
            assert time.monotonic() < until
            time.sleep(0.02)
    early, late = runs
    end = ended(early, record("T", Id="2", Name="early"), state(2))
    assert (end.code, end.states) == (1, [])
    assert "Another sync has begun to overwrite" in end.failure["message"]
    end = ended(late, record("T", Id="3", Name="late"), state(3))
    assert (end.code, end.states) == (0, [3])
    assert warehouse.rows("T", "Id", "Name") == [("1", "late"), ("3", "late")]


def _names_aside(warehouse: Warehouse) -> list[tuple]:
    with suppress(UndefinedTable):
        return warehouse.rows(names.aside("T"), "Name")
    return []


GIVEN = {
    "row level security": 'ALTER TABLE {0}."T" ENABLE ROW LEVEL SECURITY',
    "a comment": """COMMENT ON COLUMN {0}."T"."Name" IS 'as on the passport'""",
    "storage": 'ALTER TABLE {0}."T" SET (fillfactor = 70)',
    "a check": """ALTER TABLE {0}."T" ADD CHECK ("Name" <> '')""",
    "a default": """ALTER TABLE {0}."T" ALTER "Name" SET DEFAULT 'x'""",
    "no nulls": 'ALTER TABLE {0}."T" ALTER "Name" SET NOT NULL',
    "rights on a column": 'GRANT SELECT ("Name") ON {0}."T" TO pg_monitor',
    "an identity for replicas": 'ALTER TABLE {0}."T" REPLICA IDENTITY FULL',
    "statistics": 'CREATE STATISTICS {0}.s ON "Id", "Name" FROM {0}."T"',
    "a reference": 'CREATE TABLE {0}.r (t text REFERENCES {0}."T" DEFERRABLE)',
}


@pytest.mark.parametrize("what", GIVEN)
def test_what_somebody_gave_a_table_outlives_an_overwrite(load: Load, warehouse: Warehouse, what: str) -> None:
    which = "SELECT oid FROM pg_class WHERE oid = format('%%I.%%I', %s::text, 'T')::regclass"
    load(schema("T", **NAMED), record("T", Id="1", Name="old"), state(1), **OVERWRITE)
    warehouse.connection.execute(sql.SQL(GIVEN[what]).format(sql.Identifier(warehouse.schema)))
    before = warehouse.connection.execute(which, (warehouse.schema,)).fetchall()
    load(schema("T", **NAMED), record("T", Id="2", Name="new"), state(1), **OVERWRITE)
    assert warehouse.rows("T", "Id", "Name") == [("2", "new")]
    assert warehouse.connection.execute(which, (warehouse.schema,)).fetchall() == before
    assert [name for name in warehouse.tables() if name != "r"] == ["T"]


def test_an_overwrite_gives_nobody_rights_that_were_taken(load: Load, warehouse: Warehouse) -> None:
    load(schema("T", **NAMED), record("T", Id="1", Name="old"), state(1), **OVERWRITE)
    warehouse.run("ALTER DEFAULT PRIVILEGES IN SCHEMA {} GRANT ALL ON TABLES TO pg_monitor, PUBLIC")
    warehouse.run('GRANT SELECT ON {}."T" TO pg_monitor')
    load(schema("T", **NAMED), record("T", Id="2", Name="new"), state(1), **OVERWRITE)
    may = "SELECT has_table_privilege(%s, format('%%I.%%I', %s::text, 'T'), %s)"
    for role, right, expected in [
        ("pg_monitor", "SELECT", True),
        ("pg_monitor", "UPDATE", False),
        ("pg_checkpoint", "SELECT", False),
    ]:
        found = warehouse.connection.execute(may, (role, warehouse.schema, right)).fetchone()
        assert found == (expected,), (role, right)


@pytest.mark.parametrize("how", ["a column", "an overwrite", "a column of an overwritten table that stays"])
def test_a_table_that_somebody_reads_is_changed_later_and_keeps_nobody_else_out(
    load: Load, warehouse: Warehouse, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "_PAUSES", [0.3] * 50)
    monkeypatch.setattr("target_postgres_copy.finishing.BRIEFLY", "SET LOCAL lock_timeout = '200ms'")
    load(schema("T", **NAMED), record("T", Id="1", Name="old"), state(1))
    more = {"More": NAMED["Name"]} if "column" in how else {}
    options = OVERWRITE if "overw" in how else {}
    if "stays" in how:
        warehouse.run('CREATE INDEX mine ON {}."T" ("Name")')

    def change() -> None:
        load(schema("T", **NAMED, **more), record("T", Id="2", Name="new"), state(1), **options)

    with ThreadPoolExecutor(1) as pool, reading(warehouse) as somebody:
        changed = pool.submit(change)
        took = []
        until = time.monotonic() + 2
        while time.monotonic() < until:
            began = time.monotonic()
            warehouse.count("T")
            took.append(time.monotonic() - began)
            time.sleep(0.02)
        assert not changed.done()
        somebody.rollback()
        changed.result(120)
    assert max(took) < 30  # seconds, and not for ever: the lock's timeout, and what a busy machine takes
    assert ("2", "new") in warehouse.rows("T", "Id", "Name")


def test_what_is_free_after_the_last_pause_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_PAUSES", [0.01])
    tries = iter([LockNotAvailable(), None])

    def work() -> str:
        if refused := next(tries):
            raise refused
        return "changed"

    assert patience.patiently("T", work) == "changed"


def test_a_table_that_is_never_free_is_said_so(
    load: Load, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "_PAUSES", [0.01, 0.01])
    monkeypatch.setattr("target_postgres_copy.finishing.BRIEFLY", "SET LOCAL lock_timeout = '50ms'")
    load(schema("T", **NAMED), record("T", Id="1", Name="old"), state(1))
    with reading(warehouse), pytest.raises(DestinationError, match="was in use for ten minutes") as raised:
        load(schema("T", **NAMED, More=NAMED["Name"]), record("T", Id="2"), state(2))
    assert raised.value.retryable and load.said == []


def test_rows_that_cannot_be_told_to_replicas_are_no_conflict_with_somebody_else(
    load: Load, warehouse: Warehouse, administrator: Connection
) -> None:
    first = [record("T", Id="1") | {"version": 1}, {"type": "ACTIVATE_VERSION", "stream": "T", "version": 1}, state(1)]
    load(schema("T", (), Id=NAMED["Name"]), *first)
    administrator.execute(
        sql.SQL("CREATE PUBLICATION everything FOR TABLES IN SCHEMA {}").format(sql.Identifier(warehouse.schema))
    )
    later = [record("T", Id="2") | {"version": 2}, {"type": "ACTIVATE_VERSION", "stream": "T", "version": 2}, state(2)]
    try:
        with pytest.raises(DestinationError, match="replica identity") as raised:
            load(schema("T", (), Id=NAMED["Name"]), *later)
    finally:
        administrator.execute("DROP PUBLICATION everything")
    assert not raised.value.retryable
