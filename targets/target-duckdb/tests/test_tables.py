"""Tables are made, grow with the source, and keep what somebody chose."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from duckdesk import Desk, Load, record, schema

from target_duckdb.database import Database
from target_duckdb.errors import DestinationError, MessageError, MisfitError
from target_duckdb.kinds import Kind, kind_of, widened
from target_duckdb.parquet import ParquetFolder

TEXT = {"type": ["string", "null"]}


def test_a_table_is_there_although_no_row_came(desk: Desk, load: Load) -> None:
    load(schema("A", n={"type": "integer"}))
    assert desk.types("A") == {"Id": "VARCHAR", "n": "BIGINT"}


@pytest.mark.parametrize("away", ['DROP TABLE crm."A"', 'ALTER TABLE crm."A" RENAME TO old'])
def test_a_table_that_earlier_rows_are_gone_with_is_not_made_anew_for_those_that_follow(
    desk: Desk, load: Load, away: str
) -> None:
    load(schema("A"), record("A", Id="1"))
    desk.change(away)
    with pytest.raises(DestinationError, match=r"A is gone") as raised:
        load(schema("A"), record("A", Id="2"), continued_streams=["A"])
    assert "full refresh" in raised.value.hint
    assert raised.value.remedy == "full_refresh"
    load(schema("A"), record("A", Id="2"), continued_streams=["B"])
    load(schema("A"), record("A", Id="3"), continued_streams=["A"])
    assert desk.rows("A", "Id") == [("2",), ("3",)]


def test_columns_are_added_widened_and_never_dropped(desk: Desk, load: Load, caplog: pytest.LogCaptureFixture) -> None:
    load(
        schema("A", n={"type": "integer"}, d={"type": "string", "format": "date"}, old=TEXT),
        record("A", Id="1", n=5, d="2026-01-02", old="x"),
    )
    caplog.set_level("INFO")
    load(
        schema("A", n={"type": "number"}, d={"type": "string", "format": "date-time"}, new={"type": "boolean"}),
        record("A", Id="2", n=1.5, d="2026-01-02T03:00:00Z", new=True),
    )
    assert desk.types("A") == {
        "Id": "VARCHAR",
        "n": "DECIMAL(38,18)",
        "d": "TIMESTAMP WITH TIME ZONE",
        "old": "VARCHAR",
        "new": "BOOLEAN",
    }
    assert desk.rows("A", "Id", "n", "d", "old", "new") == [
        ("1", Decimal(5), datetime(2026, 1, 2, tzinfo=UTC), "x", None),
        ("2", Decimal("1.5"), datetime(2026, 1, 2, 3, tzinfo=UTC), None, True),
    ]
    assert len([line for line in caplog.messages if line.startswith("DDL: ALTER TABLE")]) == 3
    load(schema("A", n=TEXT), record("A", Id="3", n="many"))
    assert desk.rows("A", "Id", "n") == [("1", "5"), ("2", "1.5"), ("3", "many")]


@pytest.mark.parametrize("hard_delete", [False, True])
def test_rows_keep_what_they_have_in_columns_that_come_no_more(desk: Desk, load: Load, hard_delete: bool) -> None:
    gone = {"_sdc_deleted_at": {"type": ["string", "null"], "format": "date-time"}}
    load(schema("A", v=TEXT, old=TEXT, **gone), *(record("A", Id=key, v="a", old=f"o{key}") for key in "123"))
    desk.change('ALTER TABLE crm."A" ADD COLUMN mine INTEGER DEFAULT 7')
    desk.change('UPDATE crm."A" SET mine = 8 WHERE "Id" = \'1\'')
    deleted = "2026-01-02T03:00:00Z"
    later = [
        record("A", Id=key, v=v, _sdc_deleted_at=None) for key, v in (("1", "b"), ("2", "b"), ("2", "c"), ("4", "d"))
    ]
    load(
        schema("A", v=TEXT, **gone),
        *later,
        record("A", Id="3", v="e", _sdc_deleted_at=deleted),
        hard_delete=hard_delete,
    )
    there = [("1", "b", "o1", 8), ("2", "c", "o2", 7), ("3", "e", "o3", 7), ("4", "d", None, 7)]
    assert desk.rows("A", "Id", "v", "old", "mine") == [row for row in there if row[0] != "3" or not hard_delete]


def test_a_generated_column_is_left_to_the_database(desk: Desk, load: Load) -> None:
    desk.change('CREATE SCHEMA crm; CREATE TABLE crm."A" ("Id" VARCHAR, n BIGINT, twice BIGINT AS (n * 2))')
    for n in (1, 2):
        load(schema("A", n={"type": "integer"}), record("A", Id="1", n=n))
    assert desk.rows("A", "n", "twice") == [(2, 4)]


def test_a_schema_that_changes_midway_keeps_the_order_of_rows(desk: Desk, load: Load) -> None:
    later = (record("A", Id=key, v="b", w="c") for key in "12")
    load(schema("A", v=TEXT), record("A", Id="1", v="a"), schema("A", v=TEXT, w=TEXT), *later, batch_size_rows=2)
    assert desk.rows("A", "Id", "v", "w") == [("1", "b", "c"), ("2", "b", "c")]


@pytest.mark.parametrize(
    ("existing", "wanted", "wider"),
    [
        ("INTEGER", Kind.BIGINT, "BIGINT"),
        ("BIGINT", Kind.DECIMAL, "DECIMAL(38,18)"),
        ("DECIMAL(18,2)", Kind.DECIMAL, "DECIMAL(38,18)"),
        ("DOUBLE", Kind.DECIMAL, None),
        ("DECIMAL(38,18)", Kind.BIGINT, None),
        ("DECIMAL(38,18)", Kind.DOUBLE, "DOUBLE"),
        ("DATE", Kind.TIMESTAMP, "TIMESTAMP WITH TIME ZONE"),
        ("TIMESTAMP WITH TIME ZONE", Kind.DATE, None),
        ("BOOLEAN", Kind.BIGINT, "VARCHAR"),
        ("VARCHAR", Kind.JSON, None),
        ("STRUCT(a INTEGER)", Kind.TEXT, None),
    ],
)
def test_a_column_becomes_as_wide_as_it_must(existing: str, wanted: Kind, wider: str | None) -> None:
    assert widened(existing, wanted) == wider


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({"type": ["null", "integer", "number"]}, Kind.DECIMAL),
        ({"anyOf": [{"type": "string", "format": "date-time"}, {"type": ["string", "null"]}]}, Kind.TIMESTAMP),
        ({"type": ["string", "object"]}, Kind.JSON),
        ({"type": ["string", "integer"]}, Kind.TEXT),
        ({"type": "string", "format": "x-singer.decimal"}, Kind.DECIMAL),
        ({}, Kind.TEXT),
        (True, Kind.TEXT),
    ],
)
def test_a_property_has_the_kind_that_holds_all(said: object, kind: Kind) -> None:
    assert kind_of(said) is kind


def test_names_cannot_be_sql_and_those_that_differ_in_case_only_make_way(desk: Desk, load: Load) -> None:
    nasty = 'x"; DROP TABLE crm."A"; --'
    load(schema("A", **{nasty: TEXT, "name": TEXT, "Name": TEXT, "": TEXT}), record("A", Id="1", **{nasty: "'n'", "name": "a", "Name": "b", "": "c"}))  # fmt: skip
    names = list(desk.types("A"))
    assert names[:3] == ["Id", nasty, "name"]
    assert names[3].startswith("Name_")
    assert names[4].startswith("_")
    assert [value for row in desk.sql('SELECT * EXCLUDE ("Id") FROM crm."A"') for value in row[:4]] == [
        "'n'",
        "a",
        "b",
        "c",
    ]
    load(schema("A", **{nasty: TEXT, "name": TEXT, "Name": TEXT, "": TEXT}), record("A", Id="1", name="z"))
    assert list(desk.types("A")) == names


@pytest.mark.parametrize("name", ["${HOME} {} {0}", 'say "q"; DROP', "😀"])
def test_a_stream_may_have_any_name(desk: Desk, load: Load, name: str) -> None:
    load(schema(name), record(name, Id="1"))
    load(schema(name), record(name, Id="1"), continued_streams=[name])
    assert desk.types(name) == {"Id": "VARCHAR"}


def test_a_table_spelt_in_another_case_is_the_same(desk: Desk, load: Load) -> None:
    desk.change('CREATE SCHEMA "CRM"; CREATE TABLE "CRM"."a" ("ID" VARCHAR, "n" INTEGER, "tags" VARCHAR[])')
    load(schema("A", n={"type": "integer"}, tags={"type": "array"}), record("A", Id="1", n=2**40, tags=["x", "y"]))
    assert desk.rows("A", "Id", "n", "tags") == [("1", 2**40, ["x", "y"])]


def test_a_view_is_not_loaded_into(desk: Desk, load: Load) -> None:
    desk.change("CREATE SCHEMA crm; CREATE VIEW crm.a AS SELECT 1 AS Id")
    with pytest.raises(DestinationError, match=r"crm\.A is a view"):
        load(schema("A"), record("A", Id="1"))


def test_a_constraint_that_somebody_made_is_told_and_nothing_is_loaded(desk: Desk, load: Load) -> None:
    load(schema("A", v=TEXT), record("A", Id="1", v="secret"))
    desk.change("CREATE UNIQUE INDEX once ON crm.A (v)")
    with pytest.raises(MisfitError, match="constraint") as caught:
        load(schema("A", v=TEXT), record("A", Id="2", v="secret"), record("A", Id="3", v="w"))
    assert "secret" not in str(caught.value)
    assert desk.rows("A", "Id") == [("1",)]


def test_a_schema_without_sense_is_refused(load: Load) -> None:
    with pytest.raises(MessageError, match="key of A is not among its properties"):
        load({"type": "SCHEMA", "stream": "A", "key_properties": ["x"], "schema": {"properties": {"y": TEXT}}})
    with pytest.raises(MessageError, match="has no properties"):
        load({"type": "SCHEMA", "stream": "A", "key_properties": [], "schema": {"properties": {}}})


@pytest.mark.parametrize("form", ["duckdb", "parquet"])
def test_nothing_but_states_is_said_on_stdout_however_long_it_takes(desk: Desk, form: str) -> None:
    place = (
        Database(desk.path, "crm", hard_delete=False, patience=1) if form == "duckdb" else ParquetFolder(desk.folder)
    )
    assert place.connection.execute("SELECT current_setting('enable_progress_bar')").fetchall() == [(False,)]
    place.close()
