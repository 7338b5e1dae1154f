"""Columns that somebody dropped or renamed: seen by what an earlier load noted, and never made anew in silence."""

import json
from pathlib import Path

import pytest
from copydesk import Load, Warehouse, record, schema, state

from target_postgres_copy.errors import DestinationError

NAMED = {"Name": {"type": "string"}, "Phone": {"type": "string"}}
FOLLOWS = (schema("T", **NAMED), record("T", Id="2", Name="Bob", Phone="2"), state(2))
DROPPED = 'ALTER TABLE {}."T" DROP COLUMN "Phone"'


@pytest.fixture
def notes(tmp_path: Path) -> str:
    return str(tmp_path / "notes.json")


@pytest.fixture
def loaded(load: Load, notes: str) -> None:
    load(schema("T", **NAMED), record("T", Id="1", Name="Ada", Phone="1"), state(1), notes_file=notes)


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize("away", [DROPPED, 'ALTER TABLE {}."T" RENAME COLUMN "Phone" TO "Telephone"'])
@pytest.mark.parametrize("method", ["upsert", "append-only"])
def test_a_column_that_earlier_values_are_gone_with_is_not_added_for_those_that_follow(
    load: Load, warehouse: Warehouse, notes: str, away: str, method: str
) -> None:
    warehouse.run(away)
    how = {"continued_streams": ["T"], "notes_file": notes, "load_method": method}
    for _ in range(2):
        with pytest.raises(DestinationError, match='T has lost the column "Phone", with') as raised:
            load(*FOLLOWS, **how)
        assert load.said == []
    assert json.loads(raised.value.as_json())["remedy"] == "full_refresh"
    assert "Phone" not in warehouse.types("T")
    assert warehouse.rows("T", "Id") == [("1",)]


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize("mend", ['RENAME COLUMN "Telephone" TO "Phone"', 'ADD COLUMN "Phone" text'])
def test_once_the_column_is_there_again_the_next_load_goes_on(
    load: Load, warehouse: Warehouse, notes: str, mend: str
) -> None:
    warehouse.run('ALTER TABLE {}."T" RENAME COLUMN "Phone" TO "Telephone"')
    warehouse.run(f'ALTER TABLE {{}}."T" {mend}')
    assert load(*FOLLOWS, continued_streams=["T"], notes_file=notes) == [2]
    kept = "1" if mend.startswith("RENAME") else None
    assert warehouse.rows("T", "Id", "Phone") == [("1", kept), ("2", "2")]


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize("how", [{}, {"continued_streams": ["T"], "load_method": "overwrite"}])
def test_where_all_records_come_the_column_is_made_anew(
    load: Load, warehouse: Warehouse, notes: str, how: dict
) -> None:
    warehouse.run(DROPPED)
    assert load(*FOLLOWS, notes_file=notes, **how) == [2]
    assert warehouse.rows("T", "Id", "Phone")[-1] == ("2", "2")


@pytest.mark.usefixtures("loaded")
def test_a_field_that_is_new_or_comes_no_more_is_nothing_that_was_lost(
    load: Load, warehouse: Warehouse, notes: str
) -> None:
    warehouse.run(DROPPED)
    name = {"Name": NAMED["Name"]}
    how = {"continued_streams": ["T"], "notes_file": notes}
    assert load(schema("T", **name), record("T", Id="2", Name="Bob"), state(2), **how) == [2]
    mail = {"Mail": {"type": "string"}}
    assert load(schema("T", **NAMED, **mail), record("T", Id="2", Name="B", Phone="2"), state(3), **how) == [3]
    assert warehouse.rows("T", "Id", "Phone") == [("1", None), ("2", "2")]


@pytest.mark.usefixtures("loaded")
def test_notes_of_streams_that_do_not_come_stay(load: Load, warehouse: Warehouse, notes: str) -> None:
    load(schema("U", **NAMED), record("U", Id="1"), state(1), notes_file=notes)
    noted = json.loads(Path(notes).read_text())["columns"]
    assert sorted(noted) == ["T", "U"]
    assert {"Id", "Name", "Phone", "_sdc_deleted_at"} <= set(noted["T"])
    warehouse.run(DROPPED)
    with pytest.raises(DestinationError):
        load(*FOLLOWS, continued_streams=["T"], notes_file=notes)


@pytest.mark.usefixtures("loaded")
def test_a_load_that_fails_notes_nothing(load: Load, notes: str) -> None:
    before = Path(notes).read_text()
    with pytest.raises(DestinationError):
        load(schema("T", **NAMED, Mail={"type": "string"}), schema("U"), continued_streams=["U"], notes_file=notes)
    assert Path(notes).read_text() == before


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize(
    "kept",
    ["", "[]", "{}", '{"columns": ["T"]}', '{"columns": {"T": 1}}', '{"columns": {"T": [[]]}}', "\0", "[" * 100_000],
    ids=lambda kept: kept[:30],
)
def test_notes_that_make_no_sense_are_begun_anew(
    load: Load, warehouse: Warehouse, notes: str, kept: str, caplog: pytest.LogCaptureFixture
) -> None:
    Path(notes).write_text(kept)
    warehouse.run(DROPPED)
    assert load(*FOLLOWS, continued_streams=["T"], notes_file=notes) == [2]
    assert "begun anew" in caplog.text
    assert "Phone" in json.loads(Path(notes).read_text())["columns"]["T"]


def test_a_load_that_cannot_write_its_notes_is_a_load_all_the_same(
    load: Load, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert load(*FOLLOWS, notes_file=str(tmp_path / "none" / "notes.json")) == [2]
    assert "could not be written: No such file" in caplog.text


def test_many_lost_columns_are_one_short_sentence(load: Load, warehouse: Warehouse, notes: str) -> None:
    many = {f"f{number}": {"type": "string"} for number in range(5)}
    load(schema("T", **many), record("T", Id="1"), state(1), notes_file=notes)
    for name in many:
        warehouse.run(f'ALTER TABLE {{}}."T" DROP COLUMN {name}')
    with pytest.raises(DestinationError, match='the columns "f0", "f1", "f2" and 2 more, with'):
        load(schema("T", **many), record("T", Id="2"), state(2), continued_streams=["T"], notes_file=notes)
