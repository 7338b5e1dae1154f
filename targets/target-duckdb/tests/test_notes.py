"""Columns that somebody dropped or renamed: seen by what an earlier load noted, and never made anew in silence."""

import json
from pathlib import Path

import pytest
from duckdesk import Desk, Load, record, schema

from target_duckdb.errors import DestinationError

TEXT = {"type": ["string", "null"]}
FOLLOWS = (schema("A", Name=TEXT, Phone=TEXT), record("A", Id="2", Name="Bob", Phone="2"))
DROPPED = 'ALTER TABLE crm."A" DROP COLUMN "Phone"'


@pytest.fixture
def notes(tmp_path: Path, load: Load) -> str:
    path = str(tmp_path / "notes.json")
    load(schema("A", Name=TEXT, Phone=TEXT), record("A", Id="1", Name="Ada", Phone="1"), notes_file=path)
    return path


@pytest.mark.parametrize("away", [DROPPED, 'ALTER TABLE crm."A" RENAME "Phone" TO "Telephone"'])
@pytest.mark.parametrize("method", ["upsert", "append-only"])
def test_a_column_that_earlier_values_are_gone_with_is_not_added_for_those_that_follow(
    desk: Desk, load: Load, notes: str, away: str, method: str
) -> None:
    desk.change(away)
    for _ in range(2):
        with pytest.raises(DestinationError, match='A has lost the column "Phone", with') as raised:
            load(*FOLLOWS, continued_streams=["A"], notes_file=notes, load_method=method)
    assert raised.value.remedy == "full_refresh"
    assert "Phone" not in desk.types("A")
    assert desk.rows("A", "Id") == [("1",)]


def test_once_it_is_there_again_in_whichever_case_the_next_load_goes_on(desk: Desk, load: Load, notes: str) -> None:
    desk.change('ALTER TABLE crm."A" RENAME "Phone" TO "PHONE"')
    load(*FOLLOWS, continued_streams=["A"], notes_file=notes)
    assert desk.rows("A", "Id", "PHONE") == [("1", "1"), ("2", "2")]


def test_where_all_records_come_the_column_is_made_anew(desk: Desk, load: Load, notes: str) -> None:
    desk.change(DROPPED)
    load(*FOLLOWS, notes_file=notes)
    assert desk.rows("A", "Id", "Phone") == [("1", None), ("2", "2")]


def test_a_field_that_is_new_or_comes_no_more_is_nothing_that_was_lost(desk: Desk, load: Load, notes: str) -> None:
    desk.change(DROPPED)
    how = {"continued_streams": ["A"], "notes_file": notes}
    load(schema("A", Name=TEXT), record("A", Id="2", Name="Bob"), **how)
    load(*FOLLOWS, **how)
    assert desk.rows("A", "Id", "Phone") == [("1", None), ("2", "2")]


def test_a_load_that_fails_notes_nothing(load: Load, notes: str) -> None:
    before = Path(notes).read_text()
    with pytest.raises(DestinationError):
        load(schema("A", New=TEXT), schema("B"), continued_streams=["B"], notes_file=notes)
    assert Path(notes).read_text() == before


def test_notes_that_make_no_sense_are_begun_anew(load: Load, notes: str, caplog: pytest.LogCaptureFixture) -> None:
    Path(notes).write_text("[]")
    load(*FOLLOWS, continued_streams=["A"], notes_file=notes)
    assert "begun anew" in caplog.text
    assert {"Id", "Name", "Phone"} <= set(json.loads(Path(notes).read_text())["columns"]["A"])
