"""Batch files: CSV as Bulk 2.0 writes it, JSON Lines, what is damaged, and what becomes of the files."""

import csv
import gzip
import io
import json
import os
import zlib
from datetime import UTC, date, datetime, time
from decimal import Decimal

import pytest
from copydesk import Batches, Load, Warehouse, record, schema, state
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from target_postgres_copy import batchfiles
from target_postgres_copy.errors import ConfigError, DamagedBatchError, MessageError, MisfitError

TEXT = {"type": ["string", "null"]}
TYPED = {
    "Flag": {"type": ["boolean", "null"]},
    "Whole": {"type": ["integer", "null"]},
    "Amount": {"type": ["number", "null"]},
    "Day": {"type": ["string", "null"], "format": "date"},
    "At": {"type": ["string", "null"], "format": "date-time"},
    "Hour": {"type": ["string", "null"], "format": "time"},
    "Object": {"type": ["object", "null"]},
}
NASTY = ["", "NA", "\\.", "\\N", '"', '""', "a,b", "line\nbreak", "crlf\r\nbreak", "\r", "é", "🦆", " padded ", "\t", "x" * 70_000,
         "null", "'; DROP TABLE x; --", "\\", "{}", "%s", "\ufeff"]  # fmt: skip
pieces = st.lists(
    st.one_of(st.sampled_from(NASTY), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)),
    max_size=3,
).map("".join)  # fmt: skip
rows_of_text = st.lists(st.tuples(pieces, pieces), min_size=1, max_size=6)


def as_csv(header: list[str], rows: list, *, end: str = "\n", quoting: int = csv.QUOTE_ALL) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator=end, quoting=quoting)
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=rows_of_text, end=st.sampled_from(["\n", "\r\n"]), packed=st.booleans(), metadata=st.booleans())
def test_every_text_in_a_csv_file_arrives_as_it_is(
    load: Load, warehouse: Warehouse, batches: Batches, rows: list, end: str, packed: bool, metadata: bool
) -> None:
    warehouse.run("DROP SCHEMA IF EXISTS {} CASCADE")
    numbered = [(f"{number:04}", *row) for number, row in enumerate(rows)]
    message = batches.csv(
        "Notes", as_csv(["Id", "A", "B"], numbered, end=end), packed=packed, record_counts=[len(rows)]
    )
    load(schema("Notes", A=TEXT, B=TEXT), message, add_record_metadata=metadata)
    assert warehouse.rows("Notes", "Id", "A", "B") == [(key, a or None, b or None) for key, a, b in numbered]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=rows_of_text, nested=st.booleans())
def test_every_text_in_records_arrives_as_it_is(load: Load, warehouse: Warehouse, rows: list, nested: bool) -> None:
    warehouse.run("DROP SCHEMA IF EXISTS {} CASCADE")
    records = [record("Notes", Id=f"{number:04}", A=a, J={b: [b, a]}) for number, (a, b) in enumerate(rows)]
    load(schema("Notes", A=TEXT, J={"type": "object"} if nested else TEXT), *records)
    found = [(key, a, j if nested else json.loads(j)) for key, a, j in warehouse.rows("Notes", "Id", "A", "J")]
    assert found == [(f"{number:04}", a, {b: [b, a]}) for number, (a, b) in enumerate(rows)]


@pytest.mark.parametrize("value", ["\\.", "", "a", 'quo"te', "two\nlines"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_ALL, csv.QUOTE_MINIMAL])
def test_a_file_of_one_column_arrives_whole(
    load: Load, warehouse: Warehouse, batches: Batches, value: str, quoting: int
) -> None:
    text = as_csv(["Note"], [["first"], [value], ["last"]], quoting=quoting)
    message = batches.csv("Notes", text, record_counts=[3])
    load(schema("Notes", (), Note=TEXT), message, add_record_metadata=False)
    assert sorted(row[0] or "" for row in warehouse.run('SELECT "Note" FROM {}."Notes"')) == sorted(
        ["first", value, "last"]
    )


def test_typed_values_are_exact(load: Load, warehouse: Warehouse, batches: Batches) -> None:
    header = ["Id", *TYPED]
    digits = "12345678901234567890.123456789012345678901"
    values = [
        "1",
        "true",
        "9223372036854775807",
        digits,
        "1990-10-25",
        "2024-01-02T03:04:05.678Z",
        "12:34:56.000Z",
        '{"a": [1]}',
    ]
    names = ["Id", *TYPED]
    expected = (
        "1", True, 2**63 - 1, Decimal(digits), date(1990, 10, 25), datetime(2024, 1, 2, 3, 4, 5, 678000, UTC), time(12, 34, 56),
        {"a": [1]},
    )  # fmt: skip
    load(schema("T", **TYPED), batches.csv("T", as_csv(header, [values, ["2", *[""] * 7]])))
    assert warehouse.rows("T", *names) == [expected, ("2", *[None] * 7)]
    line = json.dumps(record("T", Id="1", Flag=True, Whole=2**63 - 1, Amount="@", Day="1990-10-25", Object={"a": [1]},
                             At="2024-01-02T03:04:05.678Z", Hour="12:34:56.000Z"))  # fmt: skip
    load(schema("T", **TYPED), line.replace('"@"', digits))
    assert warehouse.rows("T", *names)[0] == expected
    load(schema("T", **TYPED), batches.jsonl("T", json.loads(line.replace('"@"', "1.5"))["record"], packed=False))
    assert warehouse.rows("T", "Id", "Amount", "At")[0] == ("1", Decimal("1.5"), expected[5])


def test_columns_may_come_in_any_order_be_missing_or_be_too_many(
    load: Load, warehouse: Warehouse, batches: Batches, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = "B,Id,Odd,A\nb1,1,x,a1\n", "\ufeffA,Id\na2,2\n"
    load(schema("T", A=TEXT, B=TEXT), batches.csv("T", first, second, record_counts=[1, 1]))
    load(schema("T", A=TEXT, B=TEXT), batches.csv("T", first.replace("1", "3"), second.replace("2", "4")))
    expected = [("1", "a1", "b1"), ("2", "a2", None), ("3", "a3", "b3"), ("4", "a4", None)]
    assert warehouse.rows("T", "Id", "A", "B") == expected
    assert "not in the schema, so left out: Odd" in caplog.text
    assert not {"Odd", "_x1"} & set(warehouse.types("T"))


def test_nul_is_left_out_counted_and_said(
    load: Load, warehouse: Warehouse, batches: Batches, caplog: pytest.LogCaptureFixture
) -> None:
    file = batches.csv("T", b'Id,A\n1,"a\0b\0"\n')
    load(schema("T", A=TEXT, J={"type": "object"}), file, record("T", Id="2", A="x\0", J={"k\0": "v\0", "d": "\ud83d"}))
    assert warehouse.rows("T", "Id", "A", "J") == [("1", "ab", None), ("2", "x", {"k": "v", "d": "?"})]
    assert "2 NUL characters were left out" in caplog.text


def test_files_are_deleted_when_they_are_loaded(load: Load, batches: Batches) -> None:
    load(schema("T"), batches.csv("T", "Id\n1\n", "Id\n2\n"), state(1))
    assert not list(batches.folder.iterdir())
    load(schema("T"), batches.csv("T", "Id\n1\n"), clean_up_batch_files=False)
    assert len(list(batches.folder.iterdir())) == 1


def test_nothing_but_plain_files_of_their_folder_is_read_where_that_is_known(
    load: Load, warehouse: Warehouse, batches: Batches, tmp_path
) -> None:
    load(schema("T"), record("T", Id="before"))
    storage = {"batch_config": {"storage": {"root": batches.folder.as_uri()}}}
    outside = tmp_path / "precious.csv"
    outside.write_text("Id\nprecious\n")
    (batches.folder / "link.csv").symlink_to(outside)
    (batches.folder / "hard.csv").hardlink_to(outside)
    (batches.folder / "up").symlink_to(tmp_path)
    folder = batches.folder.as_uri()
    named = [outside.as_uri(), str(outside), "link.csv", "hard.csv", "up/precious.csv", "../precious.csv"]
    named += [
        "%2e%2e/precious.csv",
        "",
        "missing/../../precious.csv",
        "a\0b",
        "s3://bucket/a",
        "file://[a",
        "/proc/self/environ",
    ]
    for name in named:
        url = name if "/" in name[:1] or "://" in name else f"{folder}/{name}"
        message = batches.csv("T", "Id\n1\n", packed=False)
        with pytest.raises(DamagedBatchError, match="no plain file in the folder"):
            load(schema("T"), {**message, "manifest": [*message["manifest"], url]}, **storage)
    assert warehouse.rows("T", "Id") == [("before",)]
    assert outside.read_text() == "Id\nprecious\n"
    assert {"link.csv", "up"} <= {path.name for path in batches.folder.iterdir()}


def test_links_are_followed_where_no_folder_is_known_but_not_deleted(load: Load, batches: Batches, tmp_path) -> None:
    outside = tmp_path / "precious.csv"
    outside.write_text("Id\n1\n")
    link = batches.folder / "link.csv"
    link.symlink_to(outside)
    load(schema("T"), batches.csv("T", "Id\n1\n", packed=False) | {"manifest": [link.as_uri()]})
    assert outside.exists() and link.is_symlink()


@pytest.mark.parametrize("what", ["/dev/zero", "a pipe"])
def test_what_is_no_plain_file_is_not_read(load: Load, batches: Batches, what) -> None:
    message = batches.csv("T", "Id\n1\n")
    path = batches.folder / "pipe"
    os.mkfifo(path)
    with pytest.raises(DamagedBatchError, match="no plain file"):
        load(schema("T"), message | {"manifest": [what if what.startswith("/") else str(path)]})


def test_no_file_of_this_machine_is_read_or_deleted_where_batch_files_are_known_to_be_elsewhere(
    load: Load, batches: Batches
) -> None:
    message = batches.csv("T", "Id\n1\n")
    elsewhere = [
        message["manifest"][0],
        "s3://bucket/other/a.csv",
        "s3://bucket/batches/../a",
        "s3://bucket/batches2/a",
    ]
    for url in elsewhere:
        with pytest.raises(DamagedBatchError, match="no plain file in the folder"):
            load(schema("T"), message | {"manifest": [url]}, batch_config={"storage": {"root": "s3://bucket/batches"}})
    assert len(list(batches.folder.iterdir())) == 1


@pytest.mark.parametrize("known", [True, False])
def test_files_that_could_not_be_loaded_are_deleted_only_where_batch_files_are_known_to_be(
    load: Load, batches: Batches, known: bool
) -> None:
    message = batches.csv("T", "Id\n1,2,3\n")
    options = {"batch_config": {"storage": {"root": str(batches.folder)}}} if known else {}
    with pytest.raises(DamagedBatchError):
        load(schema("T"), message, **options)
    assert len(list(batches.folder.iterdir())) == (0 if known else 1)


@pytest.mark.parametrize(
    "damage",
    [
        lambda packed: packed[:-9],
        lambda packed: packed[: len(packed) // 2],
        lambda _: b"no gzip",
        lambda packed: packed[:40] + bytes(8) + packed[48:],
        lambda _: gzip.compress(b'Id,A\n1,"cut in the mid'),
        lambda _: gzip.compress(b"Id,A\n1\n"),
        lambda _: gzip.compress(b"Id,A\n1,2,3\n"),
        lambda _: gzip.compress(b"Id,A,A\n1,2,3\n"),
        lambda _: gzip.compress(b"Id,A\n1,2\n"),
        lambda _: b"",
        lambda _: gzip.compress(b""),
    ],
)
def test_a_damaged_file_loads_nothing_and_says_so(load: Load, warehouse: Warehouse, batches: Batches, damage) -> None:
    load(schema("T", A=TEXT), record("T", Id="before"))
    message = batches.csv(
        "T", as_csv(["Id", "A"], [[f"{n}", f"value {n * n}"] for n in range(500)]), record_counts=[500]
    )
    (path,) = batches.folder.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DamagedBatchError) as raised:
        load(schema("T", A=TEXT), message, state("never"), batch_config={"storage": {"root": str(batches.folder)}})
    assert (raised.value.kind, raised.value.origin, raised.value.retryable) == ("source_error", "source", True)
    assert load.said == []
    assert warehouse.rows("T", "Id") == [("before",)]
    assert not path.exists()


def test_a_missing_file_is_said(load: Load, batches: Batches) -> None:
    message = batches.csv("T", "Id\n1\n")
    next(batches.folder.iterdir()).unlink()
    with pytest.raises(DamagedBatchError, match="does not exist"):
        load(schema("T"), message)


@pytest.mark.parametrize("counts", [[3], {"x": 1}])
def test_announced_counts_are_compared(load: Load, batches: Batches, counts) -> None:
    message = batches.csv("T", "Id\n1\n2\n")
    message["record_counts"] = {message["manifest"][0]: 3} if isinstance(counts, dict) else counts
    with pytest.raises(DamagedBatchError, match="has 2 rows, but 3 were announced"):
        load(schema("T"), message)


def test_a_value_that_does_not_fit_names_its_column_and_not_itself(load: Load, batches: Batches) -> None:
    with pytest.raises(MisfitError) as raised:
        load(schema("T", Amount={"type": "number"}), batches.csv("T", "Id,Amount\n1,5551234\n2,secret\n"))
    assert 'column "Amount"' in str(raised.value) or "column Amount" in str(raised.value)
    assert "secret" not in str(raised.value)


def test_csv_cannot_go_through_stream_maps(load: Load, batches: Batches) -> None:
    with pytest.raises(ConfigError, match="Stream maps"):
        load(schema("T", A=TEXT), batches.csv("T", "Id\n1\n"), stream_maps={"T": {"A": "Id"}})


def test_jsonl_files_take_unusual_records_too(load: Load, warehouse: Warehouse, batches: Batches) -> None:
    rows = [{"Id": "1", "A": 5}, {"Id": "2", "A": {"x": 1}}, {"Id": "3", "A": True}, {"Id": "4"}, {"Id": "5", "A": ""}]
    load(schema("T", A=TEXT), batches.jsonl("T", *rows, record_counts=[5]))
    assert [a for _, a in warehouse.rows("T", "Id", "A")] == ["5", '{"x": 1}', "true", None, ""]


def test_parquet_files_are_loaded(load: Load, warehouse: Warehouse, batches: Batches) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    out = io.BytesIO()
    columns = {
        "Id": ["1", "2"],
        "Amount": [Decimal("1.10"), None],
        "At": [datetime(2024, 1, 1, tzinfo=UTC)] * 2,
        "L": [[1], []],
    }
    parquet.write_table(arrow.table(columns), out)
    types = {"Amount": {"type": "number"}, "At": TYPED["At"], "L": {"type": "array"}}
    load(schema("T", **types), batches.message("T", "parquet", [out.getvalue()], packed=False))
    moment = datetime(2024, 1, 1, tzinfo=UTC)
    assert warehouse.rows("T", "Id", "Amount", "At", "L") == [
        ("1", Decimal("1.10"), moment, [1]),
        ("2", None, moment, []),
    ]


def in_parquet(batches: Batches, *values: object) -> dict:
    """A batch of one column V, of the property's type or of an Arrow array's."""
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    out, found = io.BytesIO(), values[0] if isinstance(values[0], arrow.Array) else list(values)
    parquet.write_table(arrow.table({"Id": [str(at) for at in range(len(found))], "V": found}), out)
    return batches.message("T", "parquet", [out.getvalue()], packed=False)


def test_bytes_in_parquet_files_are_text(load: Load, warehouse: Warehouse, batches: Batches) -> None:
    load(schema("T", V=TEXT), in_parquet(batches, "é'".encode(), b""))
    assert warehouse.rows("T", "V") == [("",), ("é'",)]


@pytest.mark.parametrize(
    ("values", "facts", "words"),
    [
        ([b"\xff"], TEXT, "no UTF-8"),
        ([{"n": float("nan")}], {"type": "object"}, "JSON"),
        ([[b"\xff"]], {"type": "array"}, "JSON"),
        ("nanoseconds", TYPED["At"], "nanoseconds"),
    ],
)
def test_what_parquet_holds_and_postgres_does_not_is_said_in_words(
    load: Load, batches: Batches, values, facts, words
) -> None:
    arrow = pytest.importorskip("pyarrow")
    found = [arrow.array([1], arrow.timestamp("ns"))] if values == "nanoseconds" else values
    with pytest.raises(MessageError, match=words):
        load(schema("T", V=facts), in_parquet(batches, *found))


@pytest.mark.parametrize(
    "damage", [lambda file: file[:300], lambda _: b"", lambda file: file[:40] + bytes(200) + file[240:]]
)
def test_a_damaged_parquet_file_is_the_sources_fault(load: Load, batches: Batches, damage) -> None:
    message = in_parquet(batches, *(str(number * number) for number in range(500)))
    (path,) = batches.folder.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DamagedBatchError, match="cut off, or is no Parquet"):
        load(schema("T", V=TEXT), message)


def test_a_file_of_which_no_column_is_known_is_not_taken_for_empty_rows(
    load: Load, warehouse: Warehouse, batches: Batches
) -> None:
    with pytest.raises(DamagedBatchError, match="no column that is in its schema"):
        load(schema("T", keys=(), A=TEXT, B=TEXT), batches.csv("T", "A;B\n1;2\n"))
    assert "T" not in warehouse.tables()


def test_a_file_in_several_gzip_members_is_read_to_its_end() -> None:
    packed = gzip.compress(b"one,") + gzip.compress(b"two," * 200_000) + gzip.compress(b"three")
    found = b"".join(batchfiles.unpacked(io.BytesIO(packed), "gzip"))
    assert found == b"one," + b"two," * 200_000 + b"three"


def test_a_well_packed_file_is_unpacked_in_small_pieces() -> None:
    bomb = zlib.compress(bytes(64 << 20), wbits=31)
    assert max(map(len, batchfiles.unpacked(io.BytesIO(bomb), "gzip"))) <= 1 << 18
