"""The first load of a table: its primary key comes last, and whatever happens on the way, the end is the same."""

import signal
from collections.abc import Callable

import psycopg
import pytest
from copydesk import Load, Warehouse, ended, record, schema, state
from firstload import PEOPLE, TEXT, Run, comment, found, is_whole, key, options, people
from psycopg import sql

from target_postgres_copy import engine, patience
from target_postgres_copy.errors import DestinationError
from target_postgres_copy.names import aside

GONE = "2024-02-03T04:05:06Z"


def test_the_key_comes_when_all_rows_are_there_and_the_last_of_each_stays(
    warehouse: Warehouse, begun: Callable[..., Run], names: Callable[..., dict]
) -> None:
    run = begun()
    run.batch(names("a", 1, 2, 3))
    run.batch(names("b", 2, 4))
    warehouse.run('VACUUM (FREEZE) {}."T"')
    run.batch(names("c", 2, 3, 5))
    warehouse.run('VACUUM FULL {}."T"')
    run.batch(names("d", 5))
    assert key(warehouse) is None
    assert comment(warehouse).startswith("Being loaded for the first time by target-postgres-copy.")
    assert options(warehouse) == (["autovacuum_enabled=off"], ["autovacuum_enabled=off"])
    assert warehouse.count("T") == 9
    assert ended(run.process).code == 0
    assert found(warehouse) == [("1", "a"), ("2", "c"), ("3", "c"), ("4", "b"), ("5", "d")]
    assert is_whole(warehouse)
    indexes = warehouse.connection.execute(
        "SELECT indexname FROM pg_indexes WHERE schemaname = %s", (warehouse.schema,)
    )
    assert indexes.fetchall() == [("T_pkey",)]


@pytest.mark.parametrize("again", [(), ("b", 2, 3), ("c", 1, 2, 4)])
@pytest.mark.parametrize("first", [(("a", 1, 2),), (("a", 1, 2), ("b", 2, 3))])
def test_a_load_that_was_killed_is_finished_by_the_next_run_before_anything_else(
    load: Load, warehouse: Warehouse, begun: Callable[..., Run], names: Callable[..., dict], first: tuple, again: tuple
) -> None:
    run = begun()
    expected = {}
    for name, *keys in first:
        run.batch(names(name, *keys))
        expected |= {str(key): name for key in keys}
    run.kill()
    assert key(warehouse) is None
    load(PEOPLE)
    assert found(warehouse) == sorted(expected.items())
    assert is_whole(warehouse)
    if again:
        load(PEOPLE, names(*again))
        expected |= {str(key): again[0] for key in again[1:]}
    assert found(warehouse) == sorted(expected.items())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_load_that_ends_while_its_key_is_added_is_finished_by_the_next_run(
    load: Load, warehouse: Warehouse, begun: Callable[..., Run], names: Callable[..., dict], number: signal.Signals
) -> None:
    run = begun()
    run.batch(names("a", 1, 2))
    run.batch(names("b", 2))
    with psycopg.connect(warehouse.url.replace("+psycopg", "")) as reader:
        reader.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(warehouse.schema, "T")))
        run.process.stdin.close()
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%PRIMARY KEY%'"
        while not warehouse.connection.execute(waiting).fetchone():
            pass
        run.process.send_signal(number)
        run.process.wait()
    run.process.stdin = None
    run.process.communicate()
    load(PEOPLE, state(1))
    assert found(warehouse) == [("1", "a"), ("2", "b")]
    assert is_whole(warehouse)


def test_a_reader_who_does_not_go_is_named_and_nothing_is_lost(
    load: Load,
    warehouse: Warehouse,
    begun: Callable[..., Run],
    names: Callable[..., dict],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = begun()
    run.batch(names("a", 1, 2))
    run.batch(names("b", 2))
    run.kill()
    with psycopg.connect(warehouse.url.replace("+psycopg", "")) as reader, monkeypatch.context() as hasty:
        hasty.setattr(patience, "_PAUSES", [0.01, 0.01])
        hasty.setattr("target_postgres_copy.finishing.BRIEFLY", "SET LOCAL lock_timeout = '50ms'")
        reader.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(warehouse.schema, "T")))
        with pytest.raises(DestinationError, match="was in use") as raised:
            load(PEOPLE, *people("c", 3), state(1))
    assert raised.value.retryable and load.said == []
    assert warehouse.count("T") == 3
    load(PEOPLE)
    assert found(warehouse) == [("1", "a"), ("2", "b")]
    assert is_whole(warehouse)


def test_another_run_may_finish_a_first_load_that_still_goes_on(
    load: Load, warehouse: Warehouse, begun: Callable[..., Run], names: Callable[..., dict]
) -> None:
    run = begun()
    run.batch(names("a", 1, 2))
    run.batch(names("b", 2, 3))
    load(PEOPLE, *people("other", 3, 4))
    assert is_whole(warehouse)
    run.batch(names("c", 4, 5))
    run.batch(names("d", 6))
    assert ended(run.process).code == 0
    expected = [("1", "a"), ("2", "b"), ("3", "other"), ("4", "c"), ("5", "c"), ("6", "d")]
    assert found(warehouse) == expected
    assert is_whole(warehouse)


@pytest.mark.parametrize(
    ("settings", "message", "becomes"),
    [
        ({"load_method": "append-only"}, PEOPLE, 'PRIMARY KEY ("Id")'),
        ({"hard_delete": True}, PEOPLE, 'PRIMARY KEY ("Id")'),
        ({}, schema("T", ("Id", "Name"), Name=TEXT), 'PRIMARY KEY ("Id", "Name")'),
        ({}, schema("T", (), Id=TEXT, Name=TEXT), 'PRIMARY KEY ("Id")'),
    ],
)
def test_the_next_run_finishes_with_the_key_of_the_first_whatever_its_own(
    load: Load,
    warehouse: Warehouse,
    begun: Callable[..., Run],
    names: Callable[..., dict],
    settings: dict,
    message: dict,
    becomes: str,
) -> None:
    run = begun()
    run.batch(names("a", 1, 2))
    run.batch(names("b", 2))
    run.kill()
    warehouse.connection.execute(f'CREATE VIEW "{warehouse.schema}".v AS SELECT * FROM "{warehouse.schema}"."T"')
    load(message, **settings)
    assert found(warehouse) == [("1", "a"), ("2", "b")]
    assert (key(warehouse), comment(warehouse)) == (becomes, None)


def test_an_unfinished_table_that_is_overwritten_in_place_is_whole_too(
    load: Load, warehouse: Warehouse, begun: Callable[..., Run], names: Callable[..., dict]
) -> None:
    run = begun()
    run.batch(names("a", 1, 2))
    run.batch(names("b", 2))
    run.kill()
    warehouse.connection.execute(f'CREATE VIEW "{warehouse.schema}".v AS SELECT * FROM "{warehouse.schema}"."T"')
    load(PEOPLE, names("c", 2, 3), state(1), load_method="overwrite")
    assert found(warehouse) == [("2", "c"), ("3", "c")]
    assert is_whole(warehouse)


def test_another_key_in_the_middle_of_a_first_load_ends_it(
    load: Load, warehouse: Warehouse, names: Callable[..., dict]
) -> None:
    other = schema("T", ("Name",), Id=TEXT, Name=TEXT)
    load(PEOPLE, names("a", 1), names("b", 2), names("c", 1), state(1), other, *people("b", 7), *people("d", 8))
    assert sorted(found(warehouse)) == [("1", "c"), ("7", "b"), ("8", "d")]
    assert key(warehouse) == 'PRIMARY KEY ("Name")'


def test_tombstones_find_their_rows_in_the_middle_of_a_first_load(load: Load, warehouse: Warehouse) -> None:
    marked = schema("T", Name=TEXT, _sdc_deleted_at=TEXT | {"format": "date-time"})
    gone = record("T", Id="1", _sdc_deleted_at=GONE)
    load(marked, *people("a", 1, 2), *people("b", 1), gone, *people("c", 2), batch_size_rows=1)
    assert warehouse.run('SELECT "Id", "Name", "_sdc_deleted_at" IS NULL FROM {}."T" ORDER BY 1') == [
        ("1", "b", False),
        ("2", "c", True),
    ]
    assert is_whole(warehouse)


def test_a_version_is_activated_once_the_key_is_there(load: Load, warehouse: Warehouse) -> None:
    def versioned(version: int, name: str, *keys: int) -> list[dict]:
        return [row | {"version": version} for row in people(name, *keys)]

    first, second = ({"type": "ACTIVATE_VERSION", "stream": "T", "version": version} for version in (1, 2))
    rows = [*versioned(1, "a", 1, 2, 3), first, *versioned(2, "b", 2, 3), second, *versioned(2, "c", 3, 4)]
    load(PEOPLE, *rows, state(1), batch_size_rows=1)
    assert [name for _, name in found(warehouse)] == ["a", "b", "c", "c"]
    alive = 'SELECT "Id" FROM {}."T" WHERE "_sdc_deleted_at" IS NULL ORDER BY 1'
    assert warehouse.run(alive) == [("2",), ("3",), ("4",)]
    assert is_whole(warehouse)


@pytest.mark.parametrize("seen", [False, True])
def test_an_overwritten_table_has_its_key_before_it_takes_its_place(
    load: Load, warehouse: Warehouse, names: Callable[..., dict], seen: bool
) -> None:
    load(PEOPLE, names("old", 1, 9), state(1), load_method="overwrite")
    if seen:
        warehouse.connection.execute(f'CREATE VIEW "{warehouse.schema}".v AS SELECT * FROM "{warehouse.schema}"."T"')
    load(PEOPLE, names("a", 1, 2), names("b", 2, 3), names("c", 3), state(2), load_method="overwrite")
    assert found(warehouse) == [("1", "a"), ("2", "b"), ("3", "c")]
    assert is_whole(warehouse)


def test_a_killed_overwrite_leaves_nothing_behind(
    load: Load, warehouse: Warehouse, begun: Callable[..., Run], names: Callable[..., dict]
) -> None:
    run = begun(load_method="overwrite")
    run.tell(names("a", 1), names("b", 1))
    while aside("T") not in warehouse.tables():
        pass
    run.kill()
    load(PEOPLE, names("c", 1), state(1), load_method="overwrite")
    assert warehouse.tables() == ["T"]
    assert is_whole(warehouse)


def test_a_table_gets_its_key_although_others_are_still_loaded(
    load: Load, warehouse: Warehouse, names: Callable[..., dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_QUIET", -1.0)
    load(PEOPLE, names("a", 1, 2), state(1), names("b", 2), state(2), names("c", 1), state(3))
    assert found(warehouse) == [("1", "c"), ("2", "b")]
    assert is_whole(warehouse)
