"""RECORD messages become rows."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from duckdesk import Desk, Load, record, schema, state

from target_duckdb.errors import ConfigError, MessageError, MisfitError, MissingKeyError, MissingSchemaError

NUMBER = {"type": ["number", "null"]}
TEXT = {"type": ["string", "null"]}


def test_values_arrive_with_their_types_and_nothing_is_guessed(desk: Desk, load: Load) -> None:
    shape = schema(
        "Deal",
        Name=TEXT,
        Amount=NUMBER,
        Count={"type": "integer"},
        Open={"type": "boolean"},
        At={"type": "string", "format": "date-time"},
        On={"type": "string", "format": "date"},
        More={"type": ["object", "null"]},
    )
    load(
        shape,
        '{"type":"RECORD","stream":"Deal","record":{"Id":"1","Name":"NA","Amount":123456789012345678.01,"Count":7.0,'
        '"Open":true,"At":"2026-01-02T03:04:05.678Z","On":"2026-01-02","More":{"x":1.10}}}',
        record("Deal", Id="2", Name="", Amount=None, Count=0, Open=False, At=None, On=None, More=None),
        record("Deal", Id="3", Name='a\r\nb,"c"\ud83d\ude00\0\'', Amount=0.1),
        '{"type":"RECORD","stream":"Deal","record":{"Id":"4","Name":12}}',
    )
    assert desk.rows("Deal", "Id", "Name", "Amount", "Count", "Open") == [
        ("1", "NA", Decimal("123456789012345678.01"), 7, True),
        ("2", "", None, 0, False),
        ("3", 'a\r\nb,"c"\U0001f600\0\'', Decimal("0.1"), None, None),
        ("4", "12", None, None, None),
    ]
    [(at, on, more)] = desk.sql("""SELECT "At", "On", "More" FROM crm."Deal" WHERE "Id" = '1'""")
    assert (at, on) == (datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC), date(2026, 1, 2))
    assert more == '{"x": 1.10}'


def test_a_key_is_one_row_and_the_last_one_wins_within_and_across_batches(desk: Desk, load: Load) -> None:
    shape = schema("A", Name=TEXT)
    load(shape, *(record("A", Id=str(n % 3), Name=str(n)) for n in range(9)), batch_size_rows=4)
    assert desk.rows("A", "Id", "Name") == [("0", "6"), ("1", "7"), ("2", "8")]
    load(shape, record("A", Id="1", Name="x"), record("A", Id="1", Name="y"))
    assert desk.rows("A", "Id", "Name") == [("0", "6"), ("1", "y"), ("2", "8")]


def test_a_line_break_in_the_first_record_is_not_taken_for_the_end_of_a_row(desk: Desk, load: Load) -> None:
    said = [(f"{at:05}", "a\r\nb" if at % 7 == 0 else "c\nd\re") for at in range(20_000)]
    load(schema("A", Name=TEXT), *(record("A", Id=key, Name=name) for key, name in said))
    assert desk.rows("A", "Id", "Name") == said


def test_composite_and_numeric_keys_are_compared_as_values(desk: Desk, load: Load) -> None:
    shape = schema("A", ("n", "s"), n={"type": "integer"}, s=TEXT, v=TEXT)
    load(shape, *('{"type":"RECORD","stream":"A","record":{"n":%s,"s":"x","v":"%s"}}' % pair for pair in (("1", "a"), ("1.0", "b"), ("2", "c"))))  # fmt: skip  # noqa: UP031
    assert desk.rows("A", "n", "s", "v") == [(1, "x", "b"), (2, "x", "c")]


def test_rows_without_key_are_added(desk: Desk, load: Load) -> None:
    for _ in range(2):
        load(schema("A", (), v=TEXT), record("A", v="x"))
    load(schema("A", (), v=TEXT), record("A", v="x"), load_method="append-only")
    assert desk.rows("A", "v") == [("x",)] * 3


def test_a_state_is_said_once_all_before_it_is_committed(desk: Desk, load: Load) -> None:
    assert load(schema("A"), record("A", Id="1"), state({"at": 1}), record("A", Id="2"), state({"at": 2})) == [
        {"at": 2}
    ]
    ended = desk.run(schema("A", n={"type": "integer"}), state({"at": 3}), record("A", Id="3", n="x"))
    assert (ended.code, ended.states) == (1, [])


def test_the_metadata_says_when_and_can_be_left_out(desk: Desk, load: Load) -> None:
    load(schema("A"), {**record("A", Id="1"), "time_extracted": "2026-01-02T03:04:05Z", "version": 7})
    [(at, version, sequence)] = desk.rows("A", "_sdc_extracted_at", "_sdc_table_version", "_sdc_sequence")
    assert (at, version) == (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), 7)
    assert sequence > 1_700_000_000_000
    load(schema("B"), record("B", Id="1"), add_record_metadata=False)
    assert desk.sql('SELECT * FROM crm."B"') == [("1",)]


@pytest.mark.parametrize(
    ("text", "kept", "type_"),
    [
        pytest.param("1.10", Decimal("1.10"), "DECIMAL(38,18)", id="plain"),
        pytest.param("12345678901234567890.123456789012345678", Decimal("12345678901234567890.123456789012345678"), "DECIMAL(38,18)", id="all of it"),
        pytest.param("1.5E-7", Decimal("0.00000015"), "DECIMAL(38,18)", id="an exponent that fits"),
        pytest.param("1E9", Decimal(10**9), "DECIMAL(38,18)", id="a positive exponent"),
        pytest.param("0.1234567890123456789", 0.1234567890123456789, "DOUBLE", id="a digit too many"),
        pytest.param("1.23456789E-15", 1.23456789e-15, "DOUBLE", id="too small"),
        pytest.param("1e300", 1e300, "DOUBLE", id="too large"),
        pytest.param("123456789012345678901", 123456789012345678901.0, "DOUBLE", id="a digit too many before the point"),
    ],
)  # fmt: skip
def test_a_number_is_exact_or_makes_its_column_double(
    desk: Desk, load: Load, text: str, kept: object, type_: str
) -> None:
    load(schema("A", n=NUMBER), record("A", Id="0", n=2.5))
    load(schema("A", n=NUMBER), '{"type":"RECORD","stream":"A","record":{"Id":"1","n":%s}}' % text)  # noqa: UP031
    assert desk.rows("A", "Id", "n") == [("0", Decimal("2.5") if type_ != "DOUBLE" else 2.5), ("1", kept)]
    assert desk.types("A")["n"] == type_


@pytest.mark.parametrize("method", ["upsert", "append-only"])
def test_keys_are_not_rounded_into_one_another(desk: Desk, load: Load, method: str) -> None:
    shape = schema("A", ("Id",), Id={"type": "number"})
    keys = [12345678901234567890, 12345678901234567891]
    load(shape, *(record("A", Id=key) for key in keys), load_method=method)
    with pytest.raises(MisfitError, match=r"Keys of A have more digits .*: Id"):
        load(shape, record("A", Id=123456789012345678901234), load_method=method)
    assert [key for (key,) in desk.rows("A", "Id")] == keys


def test_what_does_not_fit_names_its_column_and_no_value(desk: Desk, load: Load) -> None:
    with pytest.raises(MisfitError, match=r"do not fit their columns: n\.") as caught:
        load(schema("A", n={"type": "integer"}), record("A", Id="1", n=1), record("A", Id="2", n="secret-value"))
    assert "secret-value" not in str(caught.value)
    with pytest.raises(MisfitError, match="fractions: n"):
        load(schema("A", n={"type": "integer"}), record("A", Id="1", n=1.5))
    assert desk.rows("A", "Id") == []


def test_records_without_key_or_schema_are_refused(load: Load) -> None:
    with pytest.raises(MissingKeyError, match="has no Id"):
        load(schema("A", n=NUMBER), record("A", n=1))
    with pytest.raises(MessageError, match="has no Id"):
        load(schema("A", n=NUMBER), record("A", Id=None, n=1))
    with pytest.raises(MissingSchemaError, match="before its SCHEMA"):
        load(record("A", Id="1"))


def test_stream_maps_are_heeded(desk: Desk, load: Load) -> None:
    load(schema("A", v=TEXT), record("A", Id="1", v="x"), stream_maps={"A": {"__alias__": "B", "v": "v + '!'"}})
    assert desk.rows("B", "Id", "v") == [("1", "x!")]


def test_two_streams_do_not_share_a_table(load: Load) -> None:
    with pytest.raises(ConfigError, match="Account and account"):
        load(schema("Account"), schema("account"))
