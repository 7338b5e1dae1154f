"""The first load of a table that others see, change, hold or make at the same time."""

import threading
from collections.abc import Callable

import psycopg
import pytest
from copydesk import Batches, Load, Warehouse, config, ended, lines, schema
from firstload import PEOPLE, TEXT, Run, comment, found, identity, is_whole, key, people
from psycopg import sql

from target_postgres_copy.errors import DestinationError, LoadError, PermissionMissingError
from target_postgres_copy.target import TargetPostgresCopy

REFERENCE = """
CREATE TABLE {}.o AS SELECT unnest(ARRAY['a', 'b', 'c']) AS name;
ALTER TABLE {}.o ADD PRIMARY KEY (name);
ALTER TABLE {}."T" ADD FOREIGN KEY ("Name") REFERENCES {}.o
"""
GONE = "2024-02-03T04:05:06Z"


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
