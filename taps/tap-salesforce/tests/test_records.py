"""Salesforce's text becomes JSON without losing a digit or a character."""

import json
from decimal import Decimal

import pytest

from tap_salesforce.errors import SchemaError
from tap_salesforce.records import Columns, assert_not_retyped

SCHEMAS = {
    "text": {"type": ["string", "null"]},
    "number": {"type": ["number", "null"]},
    "integer": {"type": ["integer", "null"]},
    "boolean": {"type": "boolean"},
    "date": {"type": ["string", "null"], "format": "date"},
    "moment": {"type": ["string", "null"], "format": "date-time"},
    "anything": {},
}


def columns(*names: str, fields: list[str] | None = None) -> Columns:
    properties = {name: SCHEMAS[name] for name in names}
    return Columns("S", fields or list(names), properties, deleted_at="_sdc_deleted_at", deleted_when=None)


@pytest.mark.parametrize(
    ("kind", "text", "written"),
    [
        ("text", "NA", '"NA"'),
        ("text", "null", '"null"'),
        ("text", "", "null"),
        ("text", None, "null"),
        ("text", "007", '"007"'),
        ("text", 'a "quote"\r\nand a line', r'"a \"quote\"\r\nand a line"'),
        ("text", "日本 \x00", r'"\u65e5\u672c \u0000"'),
        ("number", "123456789012345678.99", "123456789012345678.99"),
        ("number", "3.5E8", "3.5E8"),
        ("number", "0.1", "0.1"),
        ("number", "-0.0", "-0.0"),
        ("integer", "12", "12"),
        ("integer", "12.0", "12"),
        ("boolean", "true", "true"),
        ("boolean", "false", "false"),
        ("date", "1990-10-25", '"1990-10-25"'),
        ("moment", "2026-01-02T03:04:05.000+0000", '"2026-01-02T03:04:05.000Z"'),
        ("moment", "2026-01-02T03:04:05.000Z", '"2026-01-02T03:04:05.000Z"'),
        ("anything", "x", '"x"'),
    ],
)
def test_values_are_written_exactly(kind, text, written):
    (line,) = columns(kind).lines([[text]], extracted="2026-01-01T00:00:00+00:00")
    assert f'"record":{{"{kind}":{written}}}' in line
    assert json.loads(line)["time_extracted"] == "2026-01-01T00:00:00+00:00"


def test_python_values_are_as_exact():
    (record,) = columns("number", "integer", "boolean", "text").records([["12345678901234567.89", "3", "true", "3"]])
    assert record == {"number": Decimal("12345678901234567.89"), "integer": 3, "boolean": True, "text": "3"}


@pytest.mark.parametrize(
    ("kind", "text"),
    [("number", "many"), ("number", "NaN"), ("number", "1,5"), ("integer", "1.5"), ("boolean", "TRUE?")],
)
def test_a_value_of_another_type_names_its_field(kind, text):
    with pytest.raises(SchemaError, match=rf"S\.{kind} holds a value.*run discovery again") as raised:
        columns("text", kind).lines([["", text]], extracted="")
    assert text not in str(raised.value)


def test_columns_are_brought_into_the_catalogs_order_and_the_rest_is_dropped():
    (line,) = columns("number", "text", fields=["other", "text", "number"]).lines([["x", "t", "1"]], extracted="")
    assert json.loads(line)["record"] == {"number": 1, "text": "t"}


def test_the_version_of_a_full_table_and_odd_names_reach_the_line():
    made = Columns('Od%d"d', ["a%s"], {"a%s": {"type": "string"}}, deleted_at="d", deleted_when=None)
    (line,) = made.lines([["50%"]], extracted="", version=7)
    assert json.loads(line) == {
        "type": "RECORD", "stream": 'Od%d"d', "record": {"a%s": "50%"}, "version": 7, "time_extracted": "",
    }  # fmt: skip


def test_deletion_time_is_the_stamp_of_deleted_rows_only():
    properties = {"Id": {"type": "string"}, "_sdc_deleted_at": SCHEMAS["moment"]}
    made = Columns("S", ["Id", "IsDeleted", "Stamp"], properties, deleted_at="_sdc_deleted_at", deleted_when="Stamp")
    rows = [["1", "true", "2026-01-02T03:04:05.000+0000"], ["2", "false", "2026-01-02T03:04:05.000+0000"]]
    assert list(made.records(rows)) == [
        {"Id": "1", "_sdc_deleted_at": "2026-01-02T03:04:05.000Z"},
        {"Id": "2", "_sdc_deleted_at": None},
    ]


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ({"type": "string"}, {"type": "number"}),
        ({"type": ["null", "integer"]}, {"type": "number"}),
        ({"type": "number"}, {"type": ["integer", "null"]}),
        ({"type": "string", "format": "date-time"}, {"type": "string", "format": "date"}),
        ({"type": "string", "format": "uuid"}, {"type": "string"}),
        ({"type": "boolean"}, {"type": ["boolean", "null"]}),
    ],
)
def test_a_type_that_holds_what_the_field_has_become_stays(was, now):
    assert_not_retyped("S", {"F": was, "Gone": {"type": "boolean"}}, {"F": now, "New": {"type": "string"}})


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ({"type": "number"}, {"type": "string"}),
        ({"type": ["boolean", "null"]}, {"type": ["string", "null"]}),
        ({"type": "string", "format": "date"}, {"type": ["string", "null"], "format": "date-time"}),
        ({"type": "string", "format": "time"}, {"type": "string"}),
        ({"type": "integer"}, {"type": "string", "format": "date"}),
    ],
)
def test_a_type_that_would_read_the_values_otherwise_is_refused(was, now):
    with pytest.raises(SchemaError, match=r"S\.F is a .* in Salesforce now"):
        assert_not_retyped("S", {"F": was}, {"F": now})
