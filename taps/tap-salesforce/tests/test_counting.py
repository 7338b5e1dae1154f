"""Rows are counted as a CSV reader counts them, however the page is cut into pieces, and no cut goes unnoticed."""

import csv
import io
import random

import pytest

from tap_salesforce.counting import PageError, RowCounter, count_slowly, parsed
from tap_salesforce.inflating import CutGzipError, deflater, inflated

NASTY = ["", "x", '"', '""', "\n", '\n"', '"\n"', '\n"t', '"\n"false","', ",", "\r\n", "\x00", "é👩‍👧", '\n"true"', "\n\n"]  # fmt: skip
rng = random.Random(3)


def page(rows: int) -> bytes:
    """As Salesforce writes it: every value quoted, rows end in a line feed."""
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(["IsDeleted", "Id", "A", "B"])
    for number in range(rows):
        values = ["".join(rng.choices(NASTY, k=rng.randrange(4))) for _ in range(2)]
        writer.writerow([rng.choice(["true", "false"]), f"003{number:012d}", *values])
    return out.getvalue().encode()


def counted(body: bytes, size: int) -> RowCounter:
    counter = RowCounter()
    for at in range(0, len(body), size):
        counter.feed(body[at : at + size])
    return counter


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 4096])
def test_any_page_in_any_pieces_is_counted_exactly(size):
    for number in (0, 1, 2, 40):
        body = page(number)
        rows = list(csv.reader(io.StringIO(body.decode(), newline="")))[1:]
        counter = counted(body, size)
        assert counter.rows == len(rows) == number
        assert parsed(counter.head) == ["IsDeleted", "Id", "A", "B"]
        assert counter.ends_well() and counter.size == len(body)


def test_a_page_cut_anywhere_has_fewer_rows_or_does_not_end_well():
    body = page(12)
    for end in range(len(body)):
        counter = counted(body[:end], 50)
        try:
            whole = counter.rows == 12 and counter.ends_well() and counter.last == b"\n"
        except PageError:
            whole = False
        assert not whole


def test_values_without_quotes_are_counted_by_parsing(tmp_path):
    file = tmp_path / "page.csv"
    file.write_bytes(b'Id,IsDeleted,A\n1,true,x\n2,false,"y\nz"\n')
    assert counted(file.read_bytes(), 9).rows == 0
    assert count_slowly(file, zipped=False) == 2
    for wrong in (b"Id,A\n1\n", b'Id\n"1\n', b"Id\n\xff\n"):
        file.write_bytes(wrong)
        with pytest.raises(PageError):
            count_slowly(file, zipped=False)


def test_gzip_of_several_members_is_read_to_its_end_and_a_cut_one_is_found(tmp_path):
    def packed(body: bytes) -> bytes:
        squeeze = deflater()
        return squeeze.compress(body) + squeeze.flush()

    body = page(2000)
    middle = body.index(b"\n", len(body) // 2)
    zipped = packed(body[:middle]) + packed(body[middle:])
    pieces = [zipped[at : at + 1000] for at in range(0, len(zipped), 1000)]
    assert b"".join(inflated(pieces)) == body
    file = tmp_path / "page.csv.gz"
    file.write_bytes(zipped)
    assert count_slowly(file, zipped=True) == 2000
    with pytest.raises(CutGzipError):
        b"".join(inflated([zipped[:-9]]))
    with pytest.raises(CutGzipError):
        b"".join(inflated([]))


def test_a_page_that_unpacks_to_something_without_end_is_given_up_early():
    rows = page(1)
    for start, said in ((b"", "header"), (rows + rows.splitlines(keepends=True)[-1].rstrip(b"\n"), "row")):
        packed = deflater()
        body = packed.compress(start) + packed.compress(b"x" * 400 * 1024**2) + packed.flush()
        assert len(body) < 4 * 1024**2
        counter = RowCounter()
        with pytest.raises(PageError, match=f"{said} has no end"):
            for piece in inflated([body]):
                counter.feed(piece)
        assert counter.size < 300 * 1024**2
