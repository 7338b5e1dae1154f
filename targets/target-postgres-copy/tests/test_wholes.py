"""Whole numbers written as 12.0 or 1.2E1 are taken for what they are, exactly; others are refused."""

from decimal import Decimal

import pytest
from copydesk import Batches, Load, Warehouse, record, schema
from psycopg.errors import InvalidTextRepresentation

from target_postgres_copy.errors import MisfitError
from target_postgres_copy.loading import Batch

WHOLE = {"Whole": {"type": ["integer", "null"]}, "Amount": {"type": ["number", "null"]}}
FIRST = "Id,Whole,Amount\na,1,1.50\n"
MANY = [
    ("12.0", 12), ("1.2E1", 12), ("-0.0", 0), ("+7.", 7), ("", None), ("9223372036854775807.000", 2**63 - 1),
    ("-9223372036854775808.0", -(2**63)), ("9007199254740993.0", 2**53 + 1), ("1e18", 10**18), (" 5 ", 5),
]  # fmt: skip


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("method", ["upsert", "append-only", "overwrite"])
def test_whole_numbers_may_be_written_with_a_point_or_an_exponent(
    load: Load, warehouse: Warehouse, batches: Batches, known: bool, method: str
) -> None:
    if known:
        load(schema("T", **WHOLE), batches.csv("T", "Id,Whole,Amount\n"))
    rows = "".join(f"k{at},{text},{at}.50\n" for at, (text, _) in enumerate(MANY))
    load(schema("T", **WHOLE), batches.csv("T", f"Id,Whole,Amount\n{rows}"), load_method=method)
    found = warehouse.rows("T", "Id", "Whole", "Amount")
    assert found == [(f"k{at}", value, Decimal(f"{at}.50")) for at, (_, value) in enumerate(MANY)]
    assert warehouse.types("T")["Whole"] == "bigint"


def test_keys_written_in_either_way_are_one(load: Load, warehouse: Warehouse, batches: Batches) -> None:
    number = schema("T", ("Id",), Name={"type": "string"})
    number["schema"]["properties"]["Id"] = {"type": "integer"}
    file = batches.csv("T", "Id,Name\n1,a\n2.0,b\n2,c\n1.0,d\n")
    load(number, file, batches.csv("T", "Id,Name\n2E0,e\n3,f\n"))
    assert warehouse.rows("T", "Id", "Name") == [(1, "d"), (2, "e"), (3, "f")]


@pytest.mark.parametrize(
    "value", ["12.5", "1e-1", "9223372036854775808", "9223372036854775808.0", "NaN", "Infinity", "secret"]
)
@pytest.mark.parametrize("known", [True, False])
def test_a_number_that_is_not_whole_is_refused_by_its_columns_name(
    load: Load, warehouse: Warehouse, batches: Batches, value: str, known: bool
) -> None:
    if known:
        load(schema("T", **WHOLE), batches.csv("T", FIRST))
    with pytest.raises(MisfitError, match=r'column "?Whole"? of') as raised:
        load(schema("T", **WHOLE), batches.csv("T", f"Id,Whole,Amount\nk,12.0,1\nl,{value},1\n"))
    assert value not in str(raised.value)
    assert warehouse.tables() == (["T"] if known else [])


def test_once_seen_batches_are_not_read_twice(
    load: Load, warehouse: Warehouse, batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = []
    once = Batch._load

    def watched(*args: object, **kwargs: object) -> object:
        try:
            return once(*args, **kwargs)
        except InvalidTextRepresentation:
            refused.append(1)
            raise

    monkeypatch.setattr(Batch, "_load", watched)
    files = [batches.csv("T", f"Id,Whole,Amount\nk{at},{at}.0,1\n") for at in range(9)]
    load(schema("T", **WHOLE), *files, max_connections=1)
    assert len(warehouse.rows("T", "Whole")) == 9
    assert refused == [1]


def test_plain_integers_stay_typed_in_the_stage(load: Load, batches: Batches, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("target_postgres_copy.wholes.settle", None)
    load(schema("T", **WHOLE), batches.csv("T", FIRST), batches.csv("T", FIRST))


def test_a_tombstone_finds_its_row_by_a_number_of_either_kind(load: Load, warehouse: Warehouse) -> None:
    number = schema("T", ("Id",), Name={"type": "string"}, _sdc_deleted_at={"type": "string", "format": "date-time"})
    number["schema"]["properties"]["Id"] = {"type": "integer"}
    gone = record("T", Id="1.0", _sdc_deleted_at="2024-01-01T00:00:00Z")
    load(number, record("T", Id="1.0", Name="a"), record("T", Id=2, Name="b"), gone, hard_delete=True)
    assert warehouse.rows("T", "Id", "Name") == [(2, "b")]
