"""Names of every sort, and values where SQL is made: none is taken for SQL, none for another."""

import pytest
from copydesk import Batches, Load, Warehouse, record, schema
from hypothesis import example, given
from hypothesis import strategies as st

from target_postgres_copy import names
from target_postgres_copy.errors import ConfigError, MisfitError

TEXT = {"type": ["string", "null"]}
LONG = "x" * 80


@example(["é" * 40, "é" * 39 + "e", "e" * 64, "e" * 65])  # as letters they would fit, or are the same up to the limit
@given(st.lists(st.text(max_size=70), unique=True, max_size=12))
def test_identifiers_fit_are_distinct_and_stay_the_same(given_names: list[str]) -> None:
    found = names.distinct(given_names)
    assert len(set(found.values())) == len(given_names)
    assert all(0 < len(own.encode()) <= 63 and "\0" not in own for own in found.values())
    assert all(found[name] == name for name in given_names if names.identifier(name) == name)
    assert names.distinct(list(reversed(given_names))).keys() == found.keys()


@pytest.mark.parametrize("facts", [{"time_extracted": "{}"}, {"version": "{}"}], ids=["its time", "its version"])
def test_what_a_batch_says_of_itself_is_a_value_and_no_sql(
    load: Load, warehouse: Warehouse, batches: Batches, facts: dict
) -> None:
    load(schema("T"), record("T", Id="1"))
    for text in ("2024-01-01', DROP COLUMN \"Id\", ADD COLUMN x text DEFAULT '", "1; DROP SCHEMA pg_temp"):
        said = {name: value.format(text) for name, value in facts.items()}
        with pytest.raises(MisfitError):
            load(schema("T"), batches.csv("T", "Id\n2\n", **said))
        with pytest.raises(MisfitError):
            load(schema("New"), batches.csv("New", "Id\n2\n", **said))
    assert warehouse.rows("T", "Id") == [("1",)]
    assert warehouse.tables() == ["T"]


def test_names_are_quoted_whatever_they_are(load: Load, warehouse: Warehouse, batches: Batches) -> None:
    evil = [
        'a"; DROP SCHEMA x CASCADE; --',
        "%s",
        "{}",
        "a b",
        "ü🦆",
        "select",
        "ctid",
        "",
        "Name",
        "name",
        LONG + "1",
        LONG + "2",
        "_x1",
    ]
    stream = 'T"; DROP TABLE "U'
    rows = [{"Id": str(number), **{name: f"{number}{name}" for name in evil}} for number in range(2)]
    facts = dict.fromkeys(evil, TEXT)
    derived = {
        "_sdc_deleted_at": {"type": "string", "format": "date-time", "x-derived": {"when": 'w"; --', "value": "'"}}
    }
    header = ",".join('"' + name.replace('"', '""') + '"' for name in ["Id", *evil, 'w"; --', "'"])
    values = ",".join('"' + f"2{name}".replace('"', '""') + '"' for name in evil)
    file = batches.csv(stream, f"{header}\n2,{values},true,2024-01-01\n")
    load(schema(stream, **facts, **derived), *(record(stream, **row) for row in rows), file)
    identifiers = names.distinct(["Id", *evil])
    found = warehouse.rows(names.place(stream, None)[1], "Id", *(identifiers[name] for name in evil))
    assert found == [(str(n), *(f"{n}{name}" for name in evil)) for n in range(3)]
    assert warehouse.tables() == [stream]


def test_a_key_may_have_any_name(load: Load, warehouse: Warehouse) -> None:
    key = "it's \\'; DROP TABLE \"T\"; -- ü"
    for name in ("first", "later", "last"):
        load(schema("T", (key,), **{key: TEXT, "Name": TEXT}), record("T", **{key: "1", "Name": name}))
    assert warehouse.rows("T", key, "Name") == [("1", "last")]


def test_a_long_stream_name_gets_a_hash_and_keeps_it(load: Load, warehouse: Warehouse) -> None:
    for _ in range(2):
        load(schema(LONG), record(LONG, Id="1"))
    (table,) = warehouse.tables()
    assert table.startswith("x" * 54 + "_") and len(table) == 63 and warehouse.count(table) == 1


def test_a_stream_with_a_dash_is_named_as_meltanolabs_does(load: Load, warehouse: Warehouse) -> None:
    load(schema("public-users"), record("public-users", Id="1"))
    assert warehouse.tables() == ["users"]
    with pytest.raises(ConfigError, match="would both be loaded"):
        load(schema("a-users"), schema("b-users"))
