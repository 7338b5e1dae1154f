"""Parquet: a folder per stream, a file per batch, and the query that shows what is there now."""

import errno
import os
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from duckdesk import Desk, Load, record, schema, state

from target_duckdb import parquet
from target_duckdb.errors import DestinationError, MisfitError, PermissionMissingError

SHAPE = schema("A", Name={"type": ["string", "null"]}, n={"type": ["number", "null"]})
README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def folder(desk: Desk) -> Path:
    return desk.folder / "it's files"


@pytest.fixture
def write(load: Load, folder: Path) -> Load:
    def written(*messages: Any, **changes: Any) -> list[Any]:
        return load(*messages, path=str(folder), format="parquet", **changes)

    return written


def present(folder: Path) -> list[tuple]:
    """By the query of the README."""
    [query] = re.findall(r"```sql\n(.*?)```", README, re.DOTALL)
    made = query.replace("<path>/Account", str(folder / "A").replace("'", "''"))
    return duckdb.sql(f'SELECT "Id", "Name", n FROM ({made}) ORDER BY 1').fetchall()


def test_every_batch_is_one_file_and_the_query_shows_the_present_rows(desk: Desk, write: Load, folder: Path) -> None:
    write(SHAPE, *(record("A", Id=str(at), Name="a", n=0.1) for at in (1, 2, 2)))
    assert write(SHAPE, desk.csv("A", "Id,Name\n2,b\n3,b\n"), record("A", Id="4"), state(1)) == [1]
    deleted = record("A", Id="1", _sdc_deleted_at="2026-01-02T03:04:05Z")
    write(SHAPE, deleted)
    assert len(list((folder / "A").glob("*.parquet"))) == 4
    assert present(folder) == [("2", "b", None), ("3", "b", None), ("4", None, None)]
    assert desk.left() == []
    first = min((folder / "A").glob("*.parquet"))
    assert duckdb.sql(f"SELECT n FROM {str(first)!r}").fetchall() == [(Decimal("0.1"),)] * 2


def test_types_may_change_from_file_to_file(write: Load, folder: Path) -> None:
    write(SHAPE, record("A", Id="1", n=0.5))
    write(SHAPE, record("A", Id="2", n=1e300))
    write(schema("A", n={"type": "integer"}, more={"type": "string"}), record("A", Id="3", n=3, more="x"))
    assert present(folder) == [("1", None, 0.5), ("2", None, 1e300), ("3", None, 3.0)]


def test_files_stay_in_order_although_the_clock_went_back(write: Load, folder: Path) -> None:
    write(SHAPE, record("A", Id="1", Name="a"))
    [file] = (folder / "A").glob("*.parquet")
    later = file.with_name("9000000000000000.parquet")
    file.rename(later)
    write(SHAPE, record("A", Id="1", Name="b"))
    assert max((folder / "A").glob("*.parquet")).name == "9000000000000001.parquet"


def test_no_half_file_is_seen_and_what_a_crash_left_is_removed(write: Load, folder: Path) -> None:
    (folder / "A").mkdir(parents=True)
    (folder / "A" / "0000000000000001.part").write_bytes(b"PAR1 half")
    with pytest.raises(MisfitError):
        write(SHAPE, record("A", Id="1", n="x"))
    assert not list((folder / "A").glob("*.parquet"))
    write(SHAPE)
    assert not list((folder / "A").iterdir())


def test_a_file_has_its_name_only_when_it_is_on_disk(
    write: Load, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to_disk, seen = parquet._to_disk, []

    def looked_at(path: Path) -> None:
        seen.append((path.name, len(list((folder / "A").glob("*.parquet")))))
        to_disk(path)

    monkeypatch.setattr(parquet, "_to_disk", looked_at)
    write(SHAPE, record("A", Id="1", n=1))
    (half, before), end = seen
    assert half.endswith(".part") and before == 0
    assert end == ("A", 1)


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "no room on the disk to load A"), (errno.EIO, r"did not reach the disk \(Input/output error\)")],
)
def test_a_file_that_does_not_reach_the_disk_is_none(
    write: Load, folder: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    def refuses(_: Path) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(parquet, "_to_disk", refuses)
    with pytest.raises(DestinationError, match=words) as raised:
        write(SHAPE, record("A", Id="1", n=1), state(1))
    assert raised.value.retryable
    assert not list((folder / "A").glob("*.parquet"))
    monkeypatch.undo()
    assert write(SHAPE, record("A", Id="1", n=1), state(1)) == [1]
    assert [one.suffix for one in (folder / "A").iterdir()] == [".parquet"]


def test_a_streams_name_is_no_path(write: Load, folder: Path) -> None:
    write(schema("../x"), record("../x", Id="1"))
    assert [one.name for one in folder.iterdir()] == ["%2E.%2Fx"]


def test_a_folder_that_cannot_be_written_is_said(write: Load, folder: Path) -> None:
    folder.write_text("a file")
    with pytest.raises(PermissionMissingError):
        write(SHAPE)


def test_a_folder_there_is_no_room_for_is_no_missing_permission(
    write: Load, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "mkdir", refuses)
    with pytest.raises(DestinationError, match=f"no room on the disk to load {folder}"):
        write(SHAPE)
