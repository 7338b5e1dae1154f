"""The first load of a table: its primary key comes last, and whatever happens on the way, the end is the same."""

import json
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from copydesk import Batches, Load, Warehouse, config, ended, lines, record, schema, start, state
from psycopg import sql

from target_postgres_copy import engine, patience
from target_postgres_copy.errors import DestinationError, LoadError, PermissionMissingError
from target_postgres_copy.names import aside
from target_postgres_copy.target import TargetPostgresCopy

TEXT = {"type": ["string", "null"]}
PEOPLE = schema("T", Name=TEXT)
REFERENCE = """
CREATE TABLE {}.o AS SELECT unnest(ARRAY['a', 'b', 'c']) AS name;
ALTER TABLE {}.o ADD PRIMARY KEY (name);
ALTER TABLE {}."T" ADD FOREIGN KEY ("Name") REFERENCES {}.o
"""
GONE = "2024-02-03T04:05:06Z"


def people(name: str, *keys: int) -> list[dict]:
    return [record("T", Id=str(key), Name=name) for key in keys]


class Run:
    """A loader that is given one batch after the other, each committed before the next."""

    def __init__(self, process: subprocess.Popen) -> None:
        self.process = process
        self.tell(PEOPLE)

    def tell(self, *messages: dict) -> None:
        self.process.stdin.write("".join(json.dumps(message) + "\n" for message in messages))
        self.process.stdin.flush()

    def batch(self, message: dict) -> None:
        self.tell(message, state(message["manifest"]))
        assert json.loads(self.process.stdout.readline()) == message["manifest"]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


@pytest.fixture
def begun(warehouse: Warehouse, tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Starts loaders."""
    runs: list[Run] = []

    def begin(**changes: Any) -> Run:
        folder = tmp_path / str(len(runs))
        folder.mkdir()
        runs.append(Run(start(folder, config(warehouse, **changes))))
        return runs[-1]

    yield begin
    for run in runs:
        if run.process.poll() is None:
            run.kill()


@pytest.fixture
def names(batches: Batches) -> Callable[..., dict]:
    """A batch of people with one name."""
    return lambda name, *keys: batches.csv("T", "Id,Name\n" + "".join(f"{key},{name}\n" for key in keys))


def key(warehouse: Warehouse, table: str = "T") -> str | None:
    """The primary key as Postgres defines it."""
    made = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'p' AND conrelid = %s::regclass"
    found = warehouse.connection.execute(made, (f'"{warehouse.schema}"."{table}"',)).fetchone()
    return found[0] if found else None


def comment(warehouse: Warehouse) -> str | None:
    made = "SELECT obj_description(%s::regclass, 'pg_class')"
    return warehouse.connection.execute(made, (f'"{warehouse.schema}"."T"',)).fetchone()[0]


def identity(warehouse: Warehouse) -> str:
    made = "SELECT relreplident::text FROM pg_class WHERE oid = %s::regclass"
    return warehouse.connection.execute(made, (f'"{warehouse.schema}"."T"',)).fetchone()[0]


def is_whole(warehouse: Warehouse) -> bool:
    """Nothing shows that there was a first load."""
    return (key(warehouse), comment(warehouse), identity(warehouse)) == ('PRIMARY KEY ("Id")', None, "d")


def found(warehouse: Warehouse) -> list[tuple]:
    return warehouse.rows("T", "Id", "Name")


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


@pytest.mark.parametrize("metadata", [True, False])
def test_a_published_table_is_loaded_too(
    load: Load,
    warehouse: Warehouse,
    batches: Batches,
    administrator: psycopg.Connection,
    metadata: bool,
) -> None:
    derived = TEXT | {"format": "date-time", "x-derived": {"when": "IsDeleted", "value": "At"}}
    message = schema("T", Name=TEXT, _sdc_deleted_at=derived)
    files = [
        batches.csv("T", f"Id,Name,IsDeleted,At\n1,{name},true,{GONE}\n1,{name},false,{GONE}\n2,{name},true,{GONE}\n")
        for name in ("a", "b", "c")
    ]
    publication = sql.Identifier(f"p_{warehouse.schema}")
    administrator.execute(sql.SQL("CREATE PUBLICATION {} FOR ALL TABLES").format(publication))
    try:
        load(message, *files, add_record_metadata=metadata)
    finally:
        administrator.execute(sql.SQL("DROP PUBLICATION {}").format(publication))
    assert found(warehouse) == [("1", "c"), ("2", "c")]
    assert is_whole(warehouse)


@pytest.mark.parametrize(
    ("done", "comments", "defined"),
    [
        ("COMMENT ON TABLE {}.\"T\" IS 'ours'", "ours", 'PRIMARY KEY ("Id")'),
        ('CREATE VIEW {}.v AS SELECT * FROM {}."T"', None, 'PRIMARY KEY ("Id")'),
        ('CREATE VIEW {}."T_pkey" AS SELECT 1', None, 'PRIMARY KEY ("Id")'),
        ('DELETE FROM {}."T" WHERE "Name" = \'a\'; ALTER TABLE {}."T" ADD PRIMARY KEY ("Id")', None, 'PRIMARY KEY ("Id")'),
        ('DELETE FROM {}."T" WHERE "Name" = \'a\'; CREATE UNIQUE INDEX ON {}."T" ("Id")', None, None),
        ('CREATE INDEX ON {}."T" ("Name")', None, 'PRIMARY KEY ("Id")'),
        (REFERENCE, None, 'PRIMARY KEY ("Id")'),
    ],
)  # fmt: skip
def test_what_somebody_does_to_a_table_on_its_first_load_stays(
    warehouse: Warehouse,
    begun: Callable[..., Run],
    names: Callable[..., dict],
    done: str,
    comments: str | None,
    defined: str | None,
) -> None:
    run = begun()
    run.batch(names("a", 1))
    run.batch(names("b", 1, 2))
    warehouse.connection.execute(done.replace("{}", f'"{warehouse.schema}"'))
    run.batch(names("c", 2, 3))
    end = ended(run.process)
    assert (end.code, "Traceback" in end.log) == (0, False)
    assert found(warehouse) == [("1", "b"), ("2", "c"), ("3", "c")]
    assert (key(warehouse), comment(warehouse), identity(warehouse)) == (defined, comments, "d")


@pytest.mark.parametrize(
    ("done", "undone", "says"),
    [
        ('ALTER TABLE {}."T" ALTER "Name" TYPE jsonb USING to_jsonb("Name")', 'DELETE FROM {}."T"', "violate its constraint T_pkey"),
        ('UPDATE {}."T" SET "Name" = \'mine\'', 'DELETE FROM {}."T"', "violate its constraint T_pkey"),
        ('ALTER TABLE {}."T" ADD PRIMARY KEY ("Name")', 'ALTER TABLE {}."T" DROP CONSTRAINT "T_pkey"', "multiple primary keys"),
    ],
)  # fmt: skip
def test_what_makes_the_key_impossible_is_explained_until_it_is_undone(
    load: Load,
    warehouse: Warehouse,
    begun: Callable[..., Run],
    names: Callable[..., dict],
    done: str,
    undone: str,
    says: str,
) -> None:
    run = begun()
    run.batch(names("a", 1))
    run.batch(names("b", 1))
    warehouse.run(done)
    end = ended(run.process)
    assert (end.code, says in end.failure["message"]) == (1, True)
    with pytest.raises(DestinationError, match=says):
        load(PEOPLE, *people("c", 2))
    warehouse.run(undone)
    load(PEOPLE, *people("c", 1))
    assert [key for key, _ in found(warehouse)] == ["1"]
    assert is_whole(warehouse)


def test_a_unique_index_of_somebody_is_not_taken_for_the_key(
    warehouse: Warehouse, begun: Callable[..., Run], names: Callable[..., dict]
) -> None:
    run = begun()
    run.batch(names("a", 1))
    warehouse.run('CREATE UNIQUE INDEX "mine" ON {}."T" ("Name")')
    run.tell(names("a", 2))
    end = ended(run.process)
    assert (end.code, "violate its constraint mine" in end.failure["message"]) == (1, True)


def test_a_table_that_is_dropped_on_its_first_load_is_made_again_by_the_next(
    load: Load, warehouse: Warehouse, begun: Callable[..., Run], names: Callable[..., dict]
) -> None:
    run = begun()
    run.batch(names("a", 1))
    warehouse.run('DROP TABLE {}."T"')
    assert ended(run.process).code == 0
    load(PEOPLE, *people("b", 2))
    assert found(warehouse) == [("2", "b")]
    assert is_whole(warehouse)


def test_who_does_not_own_an_unfinished_table_is_told_so(
    load: Load,
    warehouse: Warehouse,
    administrator: psycopg.Connection,
    begun: Callable[..., Run],
    names: Callable[..., dict],
) -> None:
    run = begun()
    run.batch(names("a", 1))
    run.kill()
    role = sql.Identifier(f"owner_{warehouse.schema}")
    owned = sql.Identifier(warehouse.schema, "T")
    administrator.execute(sql.SQL("CREATE ROLE {}; ALTER TABLE {} OWNER TO {}").format(role, owned, role))
    administrator.execute(sql.SQL("GRANT ALL ON {} TO PUBLIC").format(owned))
    with pytest.raises(PermissionMissingError, match="must be owner of table T"):
        load(PEOPLE, *people("b", 2))
    administrator.execute(sql.SQL("DROP OWNED BY {}; DROP ROLE {}").format(role, role))


def test_two_loaders_that_make_one_table_at_once_leave_it_whole(load: Load, warehouse: Warehouse) -> None:
    failures: list[LoadError] = []
    messages = [PEOPLE, *(row for name in "abcdef" for row in people(name, 1, 2, 3))]

    def other() -> None:
        try:
            TargetPostgresCopy(config=config(warehouse, batch_size_rows=2)).listen(iter(lines(messages)))
        except LoadError as error:
            failures.append(error)

    thread = threading.Thread(target=other)
    thread.start()
    try:
        load(*messages, batch_size_rows=2)
    except LoadError as error:
        failures.append(error)
    thread.join()
    assert all(error.retryable for error in failures) and len(failures) < 2
    load(*messages)
    assert found(warehouse) == [("1", "f"), ("2", "f"), ("3", "f")]
    assert is_whole(warehouse)
