"""Tombstones: records that hold no more than a key and when it was deleted."""

from datetime import UTC, datetime
from typing import Any

import pytest
from copydesk import Load, Warehouse, record, schema, state

from target_postgres_copy.errors import MisfitError

TEXT = {"type": ["string", "null"]}
COLUMNS = {
    "Name": TEXT,
    "IsDeleted": {"type": ["boolean", "null"]},
    "SystemModstamp": {"type": ["string", "null"], "format": "date-time"},
    "_sdc_deleted_at": {"type": ["string", "null"], "format": "date-time"},
}
CHANGED = datetime(2024, 1, 1, tzinfo=UTC)
WHEN = datetime(2024, 2, 3, 4, 5, 6, tzinfo=UTC)
GONE = "2024-02-03T04:05:06Z"
PEOPLE = schema("People", **COLUMNS)


def row(key: str, name: str | None, **more: Any) -> dict:
    return record("People", Id=key, Name=name, IsDeleted=False, SystemModstamp="2024-01-01T00:00:00Z", **more)


def tombstone(key: str, **more: Any) -> dict:
    return record("People", Id=key, _sdc_deleted_at=GONE, **more)


def found(warehouse: Warehouse) -> list[tuple]:
    return warehouse.rows("People", "Id", "Name", "_sdc_deleted_at")


def test_a_tombstone_marks_its_row_and_keeps_what_the_row_says(load: Load, warehouse: Warehouse) -> None:
    load(PEOPLE, row("1", "Ada"), row("2", "Bob"), state(1))
    said = load(PEOPLE, tombstone("2"), tombstone("2"), state(2))
    assert found(warehouse) == [("1", "Ada", None), ("2", "Bob", WHEN)]
    assert warehouse.rows("People", "Id", "IsDeleted", "SystemModstamp")[1] == ("2", False, CHANGED)
    assert said == [2]


def test_what_else_a_tombstone_says_is_taken_over(load: Load, warehouse: Warehouse) -> None:
    load(PEOPLE, row("1", "Ada"))
    before = warehouse.rows("People", "_sdc_extracted_at", "_sdc_sequence")
    said = tombstone("1", IsDeleted=True, SystemModstamp=GONE) | {"time_extracted": "2030-05-06T07:08:09Z"}
    load(PEOPLE, said)
    assert warehouse.rows("People", "Name", "IsDeleted", "SystemModstamp") == [("Ada", True, WHEN)]
    after = warehouse.rows("People", "_sdc_extracted_at", "_sdc_sequence")
    assert after[0][0] == datetime(2030, 5, 6, 7, 8, 9, tzinfo=UTC) and after[0][1] > before[0][1]


@pytest.mark.parametrize("hard", [False, True])
def test_a_tombstone_of_an_unknown_key_is_left_alone(load: Load, warehouse: Warehouse, hard: bool) -> None:
    for _ in range(2):
        load(PEOPLE, tombstone("9"), state(1), hard_delete=hard)
        assert warehouse.count("People") == 0
    load(PEOPLE, row("1", "Ada"), tombstone("9"), hard_delete=hard)
    assert found(warehouse) == [("1", "Ada", None)]


def test_a_tombstone_removes_its_row_on_request(load: Load, warehouse: Warehouse) -> None:
    load(PEOPLE, row("1", "Ada"), row("2", "Bob"))
    load(PEOPLE, tombstone("2"), hard_delete=True)
    assert found(warehouse) == [("1", "Ada", None)]


@pytest.mark.parametrize("size", [1, 2, 1000])
@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("known", [False, True])
def test_of_rows_and_tombstones_of_one_key_the_last_wins(
    load: Load, warehouse: Warehouse, size: int, hard: bool, known: bool
) -> None:
    if known:
        load(PEOPLE, row("1", "old"), row("2", "old"), row("3", "old"))
    messages = [
        row("1", "a"),
        tombstone("1"),
        tombstone("2"),
        row("2", "b"),
        tombstone("3"),
        row("3", "c"),
        tombstone("3"),
    ]
    load(PEOPLE, *messages, batch_size_rows=size, hard_delete=hard)
    alive = [("2", "b", None)]
    marked = [("1", "a", WHEN), ("3", "c", WHEN)]
    assert found(warehouse) == (alive if hard else sorted(alive + marked))


def test_a_deleted_record_that_is_whole_is_a_row(load: Load, warehouse: Warehouse) -> None:
    whole = record("People", Id="1", Name=None, IsDeleted=True, SystemModstamp=GONE, _sdc_deleted_at=GONE)
    load(PEOPLE, whole, record("People", Id="2", Name="Bob", _sdc_deleted_at=GONE))
    assert found(warehouse) == [("1", None, WHEN), ("2", "Bob", WHEN)]


def test_where_rows_are_only_added_tombstones_are_rows(load: Load, warehouse: Warehouse) -> None:
    load(PEOPLE, row("1", "Ada"), tombstone("1"), load_method="append-only")
    assert sorted(found(warehouse), key=str) == [("1", "Ada", None), ("1", None, WHEN)]


def test_every_tombstone_counts_as_loaded(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    load(PEOPLE, row("1", "a"), tombstone("1"), tombstone("2"), row("2", "b"), tombstone("1"))
    assert '"metric":"record_count","value":5' in caplog.text


def test_tombstones_with_composite_keys_and_numbers(load: Load, warehouse: Warehouse) -> None:
    parts = {"a": {"type": "integer"}, "b": {"type": "string"}, "v": {"type": ["integer", "null"]}}
    pairs = schema("Pairs", ("a", "b"), **parts)
    gone = record("Pairs", a=1, b="x", _sdc_deleted_at=GONE)
    load(pairs, record("Pairs", a=1, b="x", v=1), record("Pairs", a=1, b="y", v=1), gone)
    load(pairs, record("Pairs", a=1, b="y", v=2), '{"type":"RECORD","stream":"Pairs","record":{"a":1.0,"b":"x","v":3}}')
    load(pairs, gone, record("Pairs", a=2, b="x", v=1))
    rows = warehouse.rows("Pairs", "a", "b", "v", "_sdc_deleted_at")
    assert sorted(rows) == [(1, "x", 3, WHEN), (1, "y", 2, None), (2, "x", 1, None)]


def test_tombstones_come_through_stream_maps(load: Load, warehouse: Warehouse) -> None:
    load(PEOPLE, row("1", "Ada"), stream_maps={"People": {}})
    load(PEOPLE, tombstone("1"), stream_maps={"People": {}})
    assert found(warehouse) == [("1", "Ada", WHEN)]


def test_a_tombstone_that_cannot_be_read_changes_nothing(load: Load, warehouse: Warehouse) -> None:
    load(PEOPLE, row("1", "Ada"))
    with pytest.raises(MisfitError):
        load(PEOPLE, row("1", "Bob"), record("People", Id="1", _sdc_deleted_at="some day"), state(1))
    assert found(warehouse) == [("1", "Ada", None)]
    assert load.said == []
