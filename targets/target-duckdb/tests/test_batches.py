"""BATCH files, read by DuckDB itself."""

import csv
import gzip
import io
import random
from decimal import Decimal
from pathlib import Path

import pytest
from duckdesk import Desk, Load, record, schema, state

from target_duckdb.errors import ConfigError, DamagedBatchError, MessageError, MisfitError

TEXT = {"type": ["string", "null"]}
SHAPE = schema("A", Name=TEXT, Amount={"type": ["number", "null"]})
DERIVED = {
    "type": ["string", "null"],
    "format": "date-time",
    "x-derived": {"when": "IsDeleted", "value": "SystemModstamp"},
}


@pytest.mark.parametrize("packed", [True, False])
def test_csv_is_read_as_salesforce_writes_it(desk: Desk, load: Load, packed: bool) -> None:
    content = '"Name","Id","Amount"\n"NA","1","1.10"\n"","2",""\n"a ""q"",\r\nü","3","1.0E9"\n,4,-0.5\n'
    states = load(SHAPE, desk.csv("A", content, packed=packed, record_counts=[4]), state(1))
    assert states == [1]
    assert desk.rows("A", "Id", "Name", "Amount") == [
        ("1", "NA", Decimal("1.10")),
        ("2", None, None),
        ("3", 'a "q",\r\nü', Decimal("1E9")),
        ("4", None, Decimal("-0.5")),
    ]
    assert desk.left() == []


def test_rows_that_end_in_crlf_and_a_byte_order_mark_are_fine(desk: Desk, load: Load) -> None:
    load(SHAPE, desk.csv("A", b'\xef\xbb\xbfId,Name\r\n1,"x\r\ny"\r\n2,"u\nv"\r\n', record_counts=[2]))
    assert desk.rows("A", "Id", "Name") == [("1", "x\r\ny"), ("2", "u\nv")]


def test_a_lot_of_quoted_line_breaks_across_buffers_arrive_unchanged(desk: Desk, load: Load) -> None:
    dice = random.Random(7)
    texts = ["".join(dice.choices('ab",\n\r\nü€ ', k=dice.randrange(1500))) for _ in range(997)]
    said = [(f"{at:06}", texts[at % len(texts)]) for at in range(60_000)]
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([("Id", "Name"), *said])
    assert len(out.getvalue()) > 40_000_000
    load(SHAPE, desk.csv("A", out.getvalue(), record_counts=[len(said)]))
    assert desk.rows("A", "Id", "Name") == [(key, name or None) for key, name in said]


def test_several_files_are_one_batch_and_the_last_row_wins(desk: Desk, load: Load) -> None:
    load(SHAPE, desk.csv("A", "Id,Name\n1,a\n2,b\n2,c\n", "Name,Id\nd,1\n", "Id\n3\n", "", record_counts=[3, 1, 1, 0]))
    assert desk.rows("A", "Id", "Name") == [("1", "d"), ("2", "c"), ("3", None)]


def test_records_before_a_batch_are_older_than_it(desk: Desk, load: Load) -> None:
    load(SHAPE, record("A", Id="1", Name="old"), desk.csv("A", "Id,Name\n1,new\n"), record("A", Id="2", Name="later"))
    assert desk.rows("A", "Id", "Name") == [("1", "new"), ("2", "later")]


def test_again_is_harmless(desk: Desk, load: Load) -> None:
    for _ in range(2):
        load(SHAPE, desk.csv("A", "Id,Name\n1,a\n2,b\n"))
    assert desk.rows("A", "Id", "Name") == [("1", "a"), ("2", "b")]


def test_a_property_is_derived_from_fields_that_need_not_be_in_the_schema(desk: Desk, load: Load) -> None:
    content = "Id,IsDeleted,SystemModstamp\n1,true,2026-01-02T03:04:05.000Z\n2,false,2026-01-02T03:04:05.000Z\n"
    load(schema("A", _sdc_deleted_at=DERIVED), desk.csv("A", content))
    assert [(key, at and at.year) for key, at in desk.rows("A", "Id", "_sdc_deleted_at")] == [("1", 2026), ("2", None)]
    load(schema("A", _sdc_deleted_at=DERIVED), desk.csv("A", content), hard_delete=True)
    assert desk.rows("A", "Id") == [("2",)]


@pytest.mark.parametrize("packed", [True, False])
def test_json_lines_keep_their_decimals(desk: Desk, load: Load, packed: bool) -> None:
    texts = ('{"Id":"1","Name":"","Amount":12345678901234567.123456789}', "", '{"Id":"2","Name":null}')
    load(SHAPE, desk.jsonl("A", *texts, packed=packed, record_counts=[2]))
    assert desk.rows("A", "Id", "Name", "Amount") == [
        ("1", "", Decimal("12345678901234567.123456789")),
        ("2", None, None),
    ]
    assert desk.left() == []
    with pytest.raises(DamagedBatchError, match="has 2 rows, but 3 were announced"):
        load(SHAPE, desk.jsonl("A", *texts, packed=packed, record_counts=[3]))


PACKED = gzip.compress(b"Id,Name\n" + b"".join(b"%d,name\n" % at for at in range(50_000)))


@pytest.mark.parametrize(
    ("content", "packed", "counts"),
    [
        pytest.param(PACKED[: len(PACKED) // 2], False, None, id="gzip that is cut off"),
        pytest.param(b"Id,Name\n1,a\n", False, None, id="no gzip"),
        pytest.param(b"Id,Name\n1,a\n2\n", True, None, id="a row too short"),
        pytest.param(b"Id,Name\n1,a\n2,b,c\n", True, None, id="a row too long"),
        pytest.param(b'Id,Name\n1,a\n2,"b\n', True, None, id="an open quote"),
        pytest.param(b"Id,Name\n1,\xff\n", True, None, id="not UTF-8"),
        pytest.param(b"Id,Id\n1,1\n", True, None, id="one column twice"),
        pytest.param(b"Id,Name\n1,a\n", True, [2], id="a row fewer than announced"),
        pytest.param(b"Id,Name\n1,a\n", True, [0], id="a row more than announced"),
    ],
)
def test_a_damaged_file_ends_the_run_and_nothing_of_its_message_is_loaded(
    desk: Desk, load: Load, content: bytes, packed: bool, counts: list[int] | None
) -> None:
    load(SHAPE, record("A", Id="0", Name="before"))
    message = desk.csv(
        "A", "Id,Name\n8,good\n", content, packed=packed, **({"record_counts": [1, *counts]} if counts else {})
    )
    if not packed:  # the second is packed already, or should be
        message["encoding"]["compression"] = "gzip"
        first = Path(
            message["manifest"][0]
            .removeprefix("file://")
            .replace("%20", " ")
            .replace("%C3%BC", "ü")
            .replace("%27", "'")
        )
        first.write_bytes(gzip.compress(first.read_bytes()))
    with pytest.raises(DamagedBatchError) as caught:
        load(SHAPE, message, state(1))
    assert caught.value.retryable
    assert "good" not in str(caught.value)
    assert desk.rows("A", "Id", "Name") == [("0", "before")]
    assert len(desk.left()) == 2


def test_a_file_of_which_no_column_is_known_is_not_taken_for_empty(desk: Desk, load: Load) -> None:
    with pytest.raises(DamagedBatchError, match="no column that is in its schema"):
        load(SHAPE, desk.csv("A", "ID,NAME\n1,x\n"), state(1))
    assert desk.rows("A", "Id") == []


def test_what_cannot_be_read_is_refused_with_a_reason(desk: Desk, load: Load) -> None:
    batch = desk.csv("A", "Id\n1\n")
    for url, error in (
        ("s3://bucket/x", ConfigError),
        ("file:///tmp/*.csv", DamagedBatchError),
        ("file:///nowhere", DamagedBatchError),
        ("file:///dev/zero", DamagedBatchError),
    ):
        with pytest.raises(error):
            load(SHAPE, {**batch, "manifest": [url]})
    with pytest.raises(MessageError, match="avro"):
        load(SHAPE, {**batch, "encoding": {"format": "avro", "compression": "gzip"}})
    with pytest.raises(MessageError, match="counts other files"):
        load(SHAPE, {**batch, "record_counts": [1, 2]})
    with pytest.raises(ConfigError, match="Stream maps"):
        load(SHAPE, batch, stream_maps={"A": {"Name": "'x'"}})
    with pytest.raises(MisfitError, match="Amount"):
        load(SHAPE, desk.csv("A", "Id,Amount\n1,much\n"))
    with pytest.raises(MessageError, match="has no Id"):
        load(SHAPE, desk.csv("A", "Id,Name\n,x\n"))


WHOLE = schema("A", Whole={"type": ["integer", "null"]})


def test_whole_numbers_may_be_written_with_a_point_or_an_exponent(desk: Desk, load: Load) -> None:
    values = {"12.0": 12, "1.2E1": 12, "+7.": 7, "-0.0": 0, "1e18": 10**18, "9007199254740993E0": 2**53 + 1,
              "9223372036854775807.0": 2**63 - 1, "120E-1": 12, "": None}  # fmt: skip
    load(WHOLE, desk.csv("A", "Id,Whole\n" + "".join(f"{at},{text}\n" for at, text in enumerate(values))))
    assert [whole for _, whole in desk.rows("A", "Id", "Whole")] == list(values.values())


@pytest.mark.parametrize(
    "value", ["12.5", "125E-1", "1.25e1", ".5", "1e-30", "1.0000000000000000000001E1", "1e400", "x"]
)
def test_a_number_that_is_not_whole_is_never_rounded(desk: Desk, load: Load, value: str) -> None:
    with pytest.raises(MisfitError, match="Whole"):
        load(WHOLE, desk.csv("A", f"Id,Whole\n1,12.0\n2,{value}\n"))


def test_nothing_but_plain_files_of_the_storages_folder_is_read(desk: Desk, load: Load, tmp_path: Path) -> None:
    outside = tmp_path / "outside.csv"
    outside.write_text("Id\nprecious\n")
    (desk.batches / "link").symlink_to(outside)
    (desk.batches / "hard").hardlink_to(outside)
    (desk.batches / "up").symlink_to(tmp_path)
    folder = desk.batches.as_uri()
    named = [f"{folder}/{name}" for name in ("link", "hard", "up/outside.csv", "../outside.csv", "%2e%2e/outside.csv")]
    for url in [*named, outside.as_uri(), "/dev/zero", "/proc/self/environ", f"{folder}/a\0b"]:
        for kind in ("csv", "jsonl"):
            with pytest.raises(DamagedBatchError, match="no plain file in the folder"):
                load(SHAPE, {"type": "BATCH", "stream": "A", "encoding": {"format": kind}, "manifest": [url]})
    assert outside.exists()


def test_names_are_no_patterns(desk: Desk, load: Load) -> None:
    for name in ("*.csv", "[a]?{b}.csv", "a.csv"):
        (desk.batches / name).write_text(f"Id\n{name}\n")
    manifest = [f"{desk.batches}/{name}" for name in ("*.csv", "[a]?{b}.csv")]
    load(SHAPE, {"type": "BATCH", "stream": "A", "encoding": {"format": "csv"}, "manifest": manifest})
    assert desk.rows("A", "Id") == [("*.csv",), ("[a]?{b}.csv",)]


def test_files_stay_where_no_folder_is_known(desk: Desk, load: Load) -> None:
    inside = desk.batches / "inside"
    inside.write_text("Id\n3\n")
    message = {"type": "BATCH", "stream": "A", "encoding": {"format": "csv"}, "manifest": [inside.as_uri()]}
    load(SHAPE, message, batch_config={})
    assert inside.exists()
    load(SHAPE, message)
    assert not inside.exists()
