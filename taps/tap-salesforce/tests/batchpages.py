"""Batch files as a loader sees them, and the troubles that pages meet."""

import csv
import gzip
import io
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

from tap_salesforce.inflating import PIECE

SPOILT = {
    "cut within a row": {"kind": "cut_row", "fraction": 0.6},
    "cut within the last row": {"kind": "cut_row", "fraction": 0.9999},
    "truncated gzip": {"kind": "truncated_gzip", "fraction": 0.5},
    "truncated at the end of gzip": {"kind": "truncated_gzip", "fraction": 0.9999},
    "reset within the body": {"kind": "reset_body", "fraction": 0.7},
    "reset": {"kind": "reset"},
    "slow down": {"kind": "status", "status": 429, "code": "TOO_MANY", "retry_after": 3},
    "unavailable": {"kind": "status", "status": 503},
}


class Reply:
    """A result page as it arrives: whole, as far as HTTP can tell."""

    def __init__(self, body: bytes, rows: int) -> None:
        self.raw = self
        self.headers = {"Sforce-NumberOfRecords": str(rows)}
        self._body = io.BytesIO(body)

    def read(self, size: int, *, decode_content: bool) -> bytes:
        assert 0 < size <= PIECE, "however large a page is, no more of it is in memory"
        return self._body.read(size)

    def close(self) -> None:
        """Nothing is open."""


def files(out) -> list[Path]:
    return [Path(urlsplit(name).path) for m in out.messages if m["type"] == "BATCH" for name in m["manifest"]]


def text_of(path: Path) -> str:
    body = path.read_bytes()
    return (gzip.decompress(body) if path.suffix == ".gz" else body).decode()


def rows(out) -> list[dict[str, str]]:
    """The rows of all files, in order, as a CSV reader sees them."""
    return [row for path in files(out) for row in csv.DictReader(io.StringIO(text_of(path), newline=""))]


def ids(out) -> Counter[str]:
    return Counter(row["Id"] for row in rows(out)) + Counter(record["Id"] for record in out.records("Contact"))


def everything(org, name: str = "Contact") -> Counter:
    return Counter(i for (i,) in org.store.rows(f'SELECT "Id" FROM "{name}"'))


def left_in(tmp_path: Path) -> set[Path]:
    return set((tmp_path / "batches").iterdir())
