"""ACTIVATE_VERSION, and tables that are overwritten as a whole."""

import threading

import psycopg
import pytest
from copydesk import Batches, Load, Warehouse, record, schema, state
from psycopg import sql

from target_postgres_copy.errors import LoadError

NAMED = {"Name": {"type": "string"}}
OVERWRITE = {"load_method": "overwrite"}


def activate(stream: str, version: int) -> dict:
    return {"type": "ACTIVATE_VERSION", "stream": stream, "version": version}


def versioned(version: int, *keys: str) -> list[dict]:
    return [record("T", Id=key) | {"version": version} for key in keys]


def alive(warehouse: Warehouse) -> list[str]:
    return [key for key, gone in warehouse.rows("T", "Id", "_sdc_deleted_at") if gone is None]


@pytest.mark.parametrize("hard", [True, False])
@pytest.mark.parametrize("first", [True, False])
def test_rows_that_did_not_come_again_are_gone_when_the_stream_is_complete(
    load: Load, warehouse: Warehouse, hard: bool, first: bool
) -> None:
    load(schema("T"), *versioned(1, "a", "b", "c"), activate("T", 1), state(1), hard_delete=hard)
    assert alive(warehouse) == ["a", "b", "c"]
    rows = versioned(2, "b", "d")
    messages = [activate("T", 2), *rows] if first else [*rows, activate("T", 2)]
    load(schema("T"), *messages, state(2), hard_delete=hard)
    assert alive(warehouse) == ["b", "d"]
    assert warehouse.count("T") == (2 if hard else 4)
    load(schema("T"), *versioned(3, "a"), activate("T", 3), state(3), hard_delete=hard)
    assert alive(warehouse) == ["a"]


def test_a_tap_that_dies_after_announcing_its_version_deletes_nothing(
    load: Load, warehouse: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    load(schema("T"), *versioned(1, "a", "b"), activate("T", 1), state(1))
    load(schema("T"), activate("T", 2), state(2), *versioned(2, "b"))
    assert alive(warehouse) == ["a", "b"]
    assert "did not come to its end" in caplog.text


def test_a_table_that_is_now_empty_at_the_source_is_emptied(load: Load, warehouse: Warehouse) -> None:
    load(schema("T"), *versioned(1, "a"), activate("T", 1), state(1))
    load(schema("T"), activate("T", 2), state(2))
    assert alive(warehouse) == []


def test_batches_without_a_version_belong_to_the_one_that_was_announced(
    load: Load, warehouse: Warehouse, batches: Batches
) -> None:
    load(schema("T"), activate("T", 1), batches.csv("T", "Id\na\nb\n"), state(1))
    load(schema("T"), activate("T", 2), batches.csv("T", "Id\nb\n"), state(2))
    assert alive(warehouse) == ["b"]


@pytest.mark.parametrize("options", [{"activate_version": False}, {"add_record_metadata": False}])
def test_versions_can_be_ignored(load: Load, warehouse: Warehouse, options: dict) -> None:
    load(schema("T"), *versioned(1, "a"), activate("T", 1), state(1), **options)
    load(schema("T"), *versioned(2, "b"), activate("T", 2), state(2), **options)
    assert warehouse.rows("T", "Id") == [("a",), ("b",)]


def test_rows_without_any_version_are_not_deleted_by_one(load: Load, warehouse: Warehouse) -> None:
    load(schema("T"), record("T", Id="a"), activate("T", 1), state(1))
    assert alive(warehouse) == ["a"]


def test_an_overwritten_table_has_only_the_new_rows(load: Load, warehouse: Warehouse, batches: Batches) -> None:
    load(schema("T", **NAMED), record("T", Id="1", Name="old"), record("T", Id="2", Name="old"), state(1), **OVERWRITE)
    file = batches.csv("T", "Id,Name\n2,new\n3,new\n")
    said = load(schema("T", **NAMED), file, record("T", Id="3", Name="newer"), state(2), **OVERWRITE, batch_size_rows=1)
    assert said == [2]
    assert warehouse.rows("T", "Id", "Name") == [("2", "new"), ("3", "newer")]
    assert warehouse.tables() == ["T"]
    load(schema("T", Other=NAMED["Name"]), state(3), **OVERWRITE)
    assert warehouse.count("T") == 0
    assert "Name" not in warehouse.types("T")


@pytest.mark.parametrize("kept", [False, True], ids=["another takes its place", "it stays and gets the new rows"])
def test_readers_of_an_overwritten_table_never_find_it_empty(load: Load, warehouse: Warehouse, kept: bool) -> None:
    rows = [record("T", Id=str(number)) for number in range(300)]
    load(schema("T"), *rows, state(1), **OVERWRITE)
    if kept:
        warehouse.run('CREATE INDEX mine ON {}."T" ("Id")')
    over, seen = threading.Event(), set()

    def look() -> None:
        with psycopg.connect(warehouse.url.replace("+psycopg", ""), autocommit=True, prepare_threshold=None) as own:
            made = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(warehouse.schema, "T"))
            while not over.is_set():
                seen.add(own.execute(made).fetchone()[0])

    thread = threading.Thread(target=look)
    thread.start()
    for _ in range(5):
        load(schema("T"), *rows, state(1), **OVERWRITE, batch_size_rows=50)
    over.set()
    thread.join()
    assert seen == {300}


def test_a_snapshot_keeps_the_old_rows_of_a_table_that_stays(load: Load, warehouse: Warehouse) -> None:
    rows = [record("T", Id=str(number)) for number in range(300)]
    load(schema("T"), *rows, state(1), **OVERWRITE)
    warehouse.run('CREATE INDEX mine ON {}."T" ("Id")')
    with psycopg.connect(warehouse.url.replace("+psycopg", ""), prepare_threshold=None) as own:
        own.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        own.execute("SELECT FROM pg_class LIMIT 1")  # the snapshot is taken
        load(schema("T"), *rows[:200], state(2), **OVERWRITE, batch_size_rows=50)
        table = sql.Identifier(warehouse.schema, "T")
        assert own.execute(sql.SQL("SELECT count(*) FROM {}").format(table)).fetchone() == (300,)
    assert warehouse.count("T") == 200


def test_views_indexes_and_grants_survive_an_overwrite(load: Load, warehouse: Warehouse) -> None:
    load(schema("T", **NAMED), record("T", Id="1", Name="old"), state(1), **OVERWRITE)
    warehouse.run('GRANT SELECT ON {}."T" TO PUBLIC')
    load(schema("T", **NAMED), record("T", Id="2", Name="new"), state(1), **OVERWRITE)
    granted = "SELECT has_table_privilege('pg_monitor', format('%%I.%%I', %s::text, 'T'), 'SELECT')"
    assert warehouse.connection.execute(granted, (warehouse.schema,)).fetchone() == (True,)
    warehouse.run('CREATE VIEW {}.v AS SELECT "Name" FROM {}."T"'.replace("FROM {}", f'FROM "{warehouse.schema}"'))
    load(schema("T", **NAMED), record("T", Id="3", Name="newer"), state(1), **OVERWRITE)
    assert warehouse.run("SELECT * FROM {}.v") == [("newer",)]
    warehouse.run("DROP VIEW {}.v")
    warehouse.run('CREATE INDEX mine ON {}."T" ("Name")')
    load(schema("T", **NAMED), record("T", Id="4", Name="newest"), state(1), **OVERWRITE)
    assert warehouse.rows("T", "Id") == [("4",)]
    assert warehouse.run("SELECT indexname FROM pg_indexes WHERE indexname = 'mine'") == [("mine",)]


def test_an_overwrite_that_is_not_complete_changes_nothing_and_promises_nothing(
    load: Load, warehouse: Warehouse
) -> None:
    load(schema("T"), record("T", Id="1"), state(1), **OVERWRITE)
    assert load(schema("T"), record("T", Id="2"), state(2), record("T", Id="3"), **OVERWRITE) == []
    assert warehouse.rows("T", "Id") == [("1",)]
    assert warehouse.tables() == ["T"], "what was built aside is gone"
    with pytest.raises(LoadError):
        load(
            schema("T", N={"type": "integer"}),
            record("T", Id="2", N=1),
            record("T", Id="3", N="x"),
            state(2),
            **OVERWRITE,
        )
    assert warehouse.rows("T", "Id") == [("1",)]
    assert load(schema("T"), record("T", Id="4"), activate("T", 1), state(3), **OVERWRITE) == [3]
    assert warehouse.rows("T", "Id") == [("4",)]
