"""Rows that are gone at the source."""

import pytest
from duckdesk import Desk, Load, Message, record, schema

AT, LATER = "2026-02-03T04:05:06Z", "2026-02-04T04:05:06Z"
SHAPE = schema(
    "A",
    Name={"type": ["string", "null"]},
    IsDeleted={"type": ["boolean", "null"]},
    _sdc_deleted_at={"type": ["string", "null"], "format": "date-time"},
)


def row(key: str, name: str, **more: object) -> Message:
    return record("A", Id=key, Name=name, IsDeleted=False, **more)


def grave(key: str, at: str = AT) -> Message:
    return record("A", Id=key, IsDeleted=True, _sdc_deleted_at=at)


def test_a_tombstone_marks_its_row_and_leaves_the_rest_of_it(desk: Desk, load: Load) -> None:
    load(SHAPE, row("1", "a"), row("2", "b"))
    load(SHAPE, grave("1"), grave("unknown"))
    assert [
        (*known, at is not None) for *known, at in desk.rows("A", "Id", "Name", "IsDeleted", "_sdc_deleted_at")
    ] == [
        ("1", "a", True, True),
        ("2", "b", False, False),
    ]


def test_a_tombstone_removes_its_row_where_deletes_are_hard(desk: Desk, load: Load) -> None:
    load(SHAPE, row("1", "a"), row("2", "b"), row("3", "c"))
    load(SHAPE, grave("1"), row("2", "d", _sdc_deleted_at=AT), hard_delete=True)
    assert desk.rows("A", "Id") == [("3",)]


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize(
    ("said", "left"),
    [
        pytest.param([row("1", "new"), grave("1")], ("new", True), id="row, then tombstone"),
        pytest.param([grave("1"), row("1", "new")], ("new", False), id="tombstone, then row"),
        pytest.param(
            [row("1", "x"), grave("1"), row("1", "new"), grave("1", LATER)], ("new", True), id="again and again"
        ),
        pytest.param(
            [grave("1"), row("1", "x"), row("1", "new"), grave("2")], ("new", False), id="another's tombstone"
        ),
    ],
)
def test_among_rows_and_tombstones_of_one_key_the_last_wins(
    desk: Desk, load: Load, said: list[Message], left: tuple[str, bool], hard: bool
) -> None:
    load(SHAPE, row("1", "old"), row("2", "other"))
    load(SHAPE, *said, hard_delete=hard)
    found = [(name, at is not None) for key, name, at in desk.rows("A", "Id", "Name", "_sdc_deleted_at") if key == "1"]
    assert found == ([] if hard and left[1] else [left])


def test_a_row_with_all_its_columns_is_no_tombstone(desk: Desk, load: Load) -> None:
    load(SHAPE, row("1", "a"))
    load(SHAPE, record("A", Id="1", Name=None, IsDeleted=True, _sdc_deleted_at=AT))
    assert desk.rows("A", "Id", "Name") == [("1", None)]


def test_where_rows_are_only_added_a_tombstone_is_a_row_like_any_other(desk: Desk, load: Load) -> None:
    load(SHAPE, row("1", "a"), grave("1"), load_method="append-only")
    assert desk.rows("A", "Id", "Name") == [("1", "a"), ("1", None)]
