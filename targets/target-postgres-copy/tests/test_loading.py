"""What is in the tables afterwards: load methods, duplicates, deletes, derived values, metadata."""

import json
from datetime import UTC, datetime

import pytest
from copydesk import Batches, Load, Warehouse, record, schema, state
from psycopg import Connection

from target_postgres_copy.engine import Engine
from target_postgres_copy.errors import DestinationError

NAMED = {"Name": {"type": ["string", "null"]}}
STAMPED = {
    "IsDeleted": {"type": "boolean"},
    "SystemModstamp": {"type": "string", "format": "date-time"},
    "_sdc_deleted_at": {
        "type": ["string", "null"],
        "format": "date-time",
        "x-derived": {"when": "IsDeleted", "value": "SystemModstamp"},
    },
}
GONE = "2024-02-03T04:05:06.000Z"
TWO = 'Id,IsDeleted,SystemModstamp\na,false,2024-01-01T00:00:00.000Z\nb,true,"2024-02-03T04:05:06.000Z"\n'


def people(*pairs: tuple[str, str | None], stream: str = "People") -> list[dict]:
    return [record(stream, Id=key, Name=name) for key, name in pairs]


def test_records_with_a_known_key_replace_those_before(load: Load, warehouse: Warehouse) -> None:
    load(schema("People", **NAMED), *people(("1", "Ada"), ("2", "Bob")), state(1))
    load(schema("People", **NAMED), *people(("2", "Bea"), ("3", None)), state(2))
    assert warehouse.rows("People", "Id", "Name") == [("1", "Ada"), ("2", "Bea"), ("3", None)]


def test_of_one_key_in_a_batch_the_last_record_wins(load: Load, warehouse: Warehouse) -> None:
    first = people(("1", "a"), ("2", "x"), ("1", "b"), ("1", "c"))
    load(schema("People", **NAMED), *first)
    assert warehouse.rows("People", "Id", "Name") == [("1", "c"), ("2", "x")]
    load(schema("People", **NAMED), *people(("3", "a"), ("1", "d"), ("3", "b"), ("1", "e")))
    assert warehouse.rows("People", "Id", "Name") == [("1", "e"), ("2", "x"), ("3", "b")]


def test_records_before_a_batch_are_older_than_it(load: Load, warehouse: Warehouse, batches: Batches) -> None:
    file = batches.csv("T", "Id,Name\n1,file\n2,file\n")
    load(schema("T", **NAMED), record("T", Id="1", Name="before"), file, record("T", Id="2", Name="behind"))
    assert warehouse.rows("T", "Id", "Name") == [("1", "file"), ("2", "behind")]


def test_what_jsonb_cannot_hold_is_left_out_within_objects(load: Load, warehouse: Warehouse) -> None:
    given = {"a\0b": ["x\0y", {"\0": "\\u0000"}], "whole": "\U0001f600"}
    kept = {"ab": ["xy", {"": "\\u0000"}], "whole": "\U0001f600"}
    odd = record("T", Id="2", J=given | {"half": "\ud83d!"})
    load(schema("T", J={"type": "object"}), record("T", Id="1", J=given), odd)
    assert warehouse.rows("T", "Id", "J") == [("1", kept), ("2", kept | {"half": "?!"})]


def test_the_last_record_wins_across_small_batches_on_many_connections(load: Load, warehouse: Warehouse) -> None:
    rows = [(str(number % 7), f"{number:04}") for number in range(400)]
    load(schema("People", **NAMED), *people(*rows), state(1), batch_size_rows=3, max_connections=4)
    assert warehouse.rows("People", "Id", "Name") == sorted(dict(rows).items())


@pytest.mark.parametrize("times", [1, 2])
def test_a_deleted_then_revived_key_is_alive_in_a_file_as_in_records(
    load: Load, warehouse: Warehouse, batches: Batches, times: int
) -> None:
    text = "Id,IsDeleted,SystemModstamp\na,true,2024-02-03T04:05:06Z\na,false,2024-02-04T00:00:00Z\n"
    for _ in range(times):
        load(schema("Account", **STAMPED), batches.csv("Account", text))
    assert warehouse.rows("Account", "Id", "IsDeleted", "_sdc_deleted_at") == [("a", False, None)]


def test_keys_that_a_new_table_got_already_are_found_in_later_files(
    load: Load, warehouse: Warehouse, batches: Batches
) -> None:
    stamp = "2024-01-01T00:00:00Z"
    first, second = (f"Id,Name,IsDeleted,SystemModstamp\n{rows}" for rows in (
        f"a,1,false,{stamp}\nb,1,false,{stamp}\n",
        f"c,1,true,{GONE}\nc,2,true,{GONE}\na,2,true,{GONE}\nc,3,false,{stamp}\nd,1,true,{GONE}\n",
    ))  # fmt: skip
    later = [batches.csv("Account", text) for text in (first, second, second, second, second, second)]
    load(schema("Account", **STAMPED, **NAMED), *later)
    when = datetime(2024, 2, 3, 4, 5, 6, tzinfo=UTC)
    expected = [("a", "2", when), ("b", "1", None), ("c", "3", None), ("d", "1", when)]
    assert warehouse.rows("Account", "Id", "Name", "_sdc_deleted_at") == expected


def test_a_row_that_is_deleted_later_in_its_file_is_removed_from_a_new_table_too(
    load: Load, warehouse: Warehouse, batches: Batches
) -> None:
    text = f"Id,IsDeleted,SystemModstamp\nb,false,{GONE}\nb,true,{GONE}\n"
    load(schema("Account", **STAMPED), batches.csv("Account", TWO), batches.csv("Account", text), hard_delete=True)
    assert warehouse.rows("Account", "Id") == [("a",)]


def test_a_pooled_session_that_has_used_temporary_tables_before_is_loaded_by_too(
    load: Load, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = Engine._connect

    def used(engine: Engine) -> Connection:
        connection = connect(engine)
        connection.execute("CREATE TEMPORARY TABLE earlier (x int); INSERT INTO earlier VALUES (1)")
        return connection

    monkeypatch.setattr(Engine, "_connect", used)
    load(schema("People", **NAMED), *people(("1", "a")), batch_size_rows=1)
    load(schema("People", **NAMED), *people(("2", "b"), ("1", "c")), batch_size_rows=1)
    assert warehouse.rows("People", "Id", "Name") == [("1", "c"), ("2", "b")]


def test_append_only_adds_every_row_and_makes_no_key(load: Load, warehouse: Warehouse) -> None:
    for _ in range(2):
        load(schema("People", **NAMED), *people(("1", "Ada"), ("1", "Ada")), load_method="append-only")
    assert warehouse.count("People") == 4


def test_a_stream_without_key_is_appended(load: Load, warehouse: Warehouse) -> None:
    for _ in range(2):
        load(schema("People", (), **NAMED), record("People", Name="Ada"))
    assert warehouse.rows("People", "Name") == [("Ada",), ("Ada",)]


def test_rows_to_be_added_to_a_table_that_keeps_keys_apart_are_told_the_way_out(
    load: Load, warehouse: Warehouse
) -> None:
    load(schema("T"), record("T", Id="1"))
    with pytest.raises(DestinationError, match=r"T_pkey.*append-only"):
        load(schema("T"), record("T", Id="1"), load_method="append-only")
    warehouse.run('ALTER TABLE {}."T" DROP CONSTRAINT "T_pkey"')
    load(schema("T"), record("T", Id="1"), load_method="append-only")
    assert warehouse.rows("T", "Id") == [("1",), ("1",)]


def test_a_composite_key_keeps_rows_apart(load: Load, warehouse: Warehouse) -> None:
    parts = {"a": {"type": "integer"}, "b": {"type": "string"}, "v": {"type": "integer"}}
    for value in (1, 2):
        rows = [
            record("Pairs", a=1, b="x", v=value),
            record("Pairs", a=1, b="y", v=value),
            record("Pairs", a=2, b="x", v=7),
        ]
        load(schema("Pairs", ("a", "b"), **parts), *rows)
    assert warehouse.rows("Pairs", "a", "b", "v") == [(1, "x", 2), (1, "y", 2), (2, "x", 7)]


def test_a_key_alone_is_a_table_too(load: Load, warehouse: Warehouse) -> None:
    for _ in range(2):
        load(
            schema("Keys"),
            record("Keys", Id="\\."),
            record("Keys", Id=""),
            record("Keys", Id="x"),
            add_record_metadata=False,
        )
    assert warehouse.rows("Keys", "Id") == [("",), ("\\.",), ("x",)]
    assert warehouse.types("Keys") == {"Id": "text"}


def test_an_empty_text_is_not_null(load: Load, warehouse: Warehouse) -> None:
    load(schema("People", **NAMED), *people(("1", ""), ("2", None)), record("People", Id="3"))
    assert warehouse.rows("People", "Id", "Name") == [("1", ""), ("2", None), ("3", None)]


def test_a_stream_without_rows_has_an_empty_table_with_its_key(load: Load, warehouse: Warehouse) -> None:
    load(schema("People", **NAMED), state(1))
    assert warehouse.count("People") == 0
    load(schema("People", **NAMED), *people(("1", "a")), *people(("1", "b")))
    assert warehouse.rows("People", "Id", "Name") == [("1", "b")]


def test_deleted_rows_are_marked_by_default(load: Load, warehouse: Warehouse, batches: Batches) -> None:
    load(schema("Account", **STAMPED), batches.csv("Account", TWO))
    when = datetime(2024, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert warehouse.rows("Account", "Id", "_sdc_deleted_at") == [("a", None), ("b", when)]


@pytest.mark.parametrize("metadata", [True, False])
def test_deleted_rows_are_removed_on_request(
    load: Load, warehouse: Warehouse, batches: Batches, metadata: bool
) -> None:
    options = {"hard_delete": True, "add_record_metadata": metadata}
    load(schema("Account", **STAMPED), batches.csv("Account", TWO), **options)
    assert warehouse.rows("Account", "Id") == [("a",)]
    load(schema("Account", **STAMPED), batches.csv("Account", TWO.replace("a,false", "a,true")), **options)
    assert warehouse.count("Account") == 0
    row = {"Id": "c", "IsDeleted": True, "SystemModstamp": GONE, "_sdc_deleted_at": GONE}
    load(schema("Account", **STAMPED), record("Account", **(row | {"_sdc_deleted_at": None})), **options)
    load(schema("Account", **STAMPED), record("Account", **row), record("Account", **(row | {"Id": "d"})), **options)
    assert warehouse.count("Account") == 0


def test_a_value_is_derived_from_fields_the_schema_lacks(
    load: Load, warehouse: Warehouse, batches: Batches, caplog: pytest.LogCaptureFixture
) -> None:
    only = {"_sdc_deleted_at": STAMPED["_sdc_deleted_at"]}
    for _ in range(2):
        load(schema("Account", **only), batches.csv("Account", TWO))
        when = datetime(2024, 2, 3, 4, 5, 6, tzinfo=UTC)
        assert warehouse.rows("Account", "Id", "_sdc_deleted_at") == [("a", None), ("b", when)]
    assert "left out" not in caplog.text
    assert not {"IsDeleted", "SystemModstamp", "_x1"} & set(warehouse.types("Account"))


def test_metadata_says_when_a_row_came(load: Load, warehouse: Warehouse, batches: Batches) -> None:
    message = record("People", Id="1", Name="Ada") | {"time_extracted": "2024-05-06T07:08:09Z", "version": 42}
    load(schema("People", **NAMED), message, batches.csv("People", "Id\n2\n", time_extracted="2024-05-06T00:00:00Z"))
    (first, second) = warehouse.rows("People", "Id", "_sdc_extracted_at", "_sdc_table_version", "_sdc_deleted_at")
    assert first == ("1", datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC), 42, None)
    assert second[:2] == ("2", datetime(2024, 5, 6, tzinfo=UTC))
    filled = warehouse.rows("People", "_sdc_received_at", "_sdc_batched_at", "_sdc_sequence", "_sdc_sync_started_at")
    assert all(None not in row for row in filled)
    defaults = warehouse.connection.execute(
        "SELECT count(*) FROM information_schema.columns WHERE table_schema = %s AND column_default IS NOT NULL",
        (warehouse.schema,),
    )
    assert defaults.fetchone() == (0,)


def test_metadata_columns_can_be_left_out(load: Load, warehouse: Warehouse) -> None:
    load(schema("People", **NAMED), *people(("1", "Ada")), add_record_metadata=False)
    assert list(warehouse.types("People")) == ["Id", "Name"]


def test_records_go_through_stream_maps(
    load: Load, warehouse: Warehouse, batches: Batches, caplog: pytest.LogCaptureFixture
) -> None:
    maps = {"People": {"__alias__": "persons", "Name": "Name.upper()", "Id": "Id", "__else__": None}}
    file, line = batches.jsonl("People", {"Id": "2", "Name": "bob"}), json.dumps(*people(("1", "ada")))
    handed_over = len(line) + sum(path.stat().st_size for path in batches.folder.iterdir())
    said = load(schema("People", **NAMED), line, file, state(1), stream_maps=maps)
    assert warehouse.rows("persons", "Id", "Name") == [("1", "ADA"), ("2", "BOB")]
    assert said == [1]
    assert f'"metric":"byte_count","value":{handed_over}' in caplog.text
    assert not list(batches.folder.iterdir())


def test_nested_objects_are_flattened_on_request(load: Load, warehouse: Warehouse) -> None:
    nested = {"at": {"type": "object", "properties": {"city": {"type": "string"}}}}
    options = {"flattening_enabled": True, "flattening_max_depth": 1}
    load(schema("People", **nested), record("People", Id="1", at={"city": "Rome"}), **options)
    assert warehouse.rows("People", "Id", "at__city") == [("1", "Rome")]


def test_how_many_rows_of_a_file_were_deleted_is_counted(
    load: Load, batches: Batches, caplog: pytest.LogCaptureFixture
) -> None:
    load(schema("Account", **STAMPED), batches.csv("Account", TWO), batches.csv("Account", TWO))
    points = [line.split("METRIC: ")[1] for line in caplog.messages if '"metric":"deleted_count"' in line]
    assert sum(json.loads(point)["value"] for point in points) == 2
