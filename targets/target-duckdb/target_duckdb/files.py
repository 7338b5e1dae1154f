"""Files that DuckDB reads: those of BATCH messages, and the CSV that records are written to."""

import csv
import gzip
import secrets
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import unquote, urlsplit

import simplejson  # type: ignore[import-untyped]  # its stubs are a package of their own

from target_duckdb.errors import ConfigError, DamagedBatchError, MessageError, MissingKeyError
from target_duckdb.kinds import Kind
from target_duckdb.layout import EXTRACTED_AT, VERSION, Layout

TOMBSTONE: Final = "\0tombstone"  # no property's name, since identifiers lose the NUL
NULL: Final = f"\x02{secrets.token_hex(8)}\x02"  # stands for null in files of ours, so that '' can stay ''
_GLOB: Final = frozenset("*?[{")
csv.field_size_limit(sys.maxsize)


def local(url: str) -> Path:
    """The file on this machine that a manifest names; ConfigError if DuckDB could take it for something else."""
    parts = urlsplit(url)
    path = Path(unquote(parts.path) if parts.scheme else url)
    if parts.scheme not in {"", "file"} or parts.netloc not in {"", "localhost"}:
        raise ConfigError("Batch files must lie on this machine.", hint="Set batch_config.storage.root to a file:///….")
    if _GLOB & set(str(path)):
        raise ConfigError(
            "The name of a batch file has one of * ? [ {.", hint="Set another batch_config.storage.prefix."
        )
    return path


def delete(path: Path, *, within: Path) -> None:
    """Remove a batch file, if it is a plain file in the folder: no link is followed, no device is touched."""
    if stat.S_ISREG(path.lstat().st_mode) and path.parent.resolve().is_relative_to(within.resolve()):
        path.unlink()


def size(paths: Sequence[Path]) -> int:
    """Bytes of files as they are; 0 for one that is missing."""
    return sum(path.stat().st_size for path in paths if path.exists())


def header(path: Path, compression: str) -> list[str]:
    """The names in the first row; none for an empty file."""
    try:
        with _text(path, compression) as lines:
            fields = next(csv.reader(lines, strict=True), [])
    except (UnicodeDecodeError, csv.Error, OSError, EOFError) as error:
        raise _damaged(error) from error
    if len(set(fields)) < len(fields):
        raise DamagedBatchError("A batch file has one column twice.")
    return fields


def records(path: Path, compression: str) -> Iterator[Any]:
    """The records of a file of JSON Lines."""
    try:
        with _text(path, compression) as lines:
            for line in lines:
                if not line.isspace():
                    yield simplejson.loads(line, use_decimal=True)
    except (ValueError, OSError, EOFError) as error:
        raise _damaged(error) from error


def other_count(stream: str, rows: int, announced: int) -> DamagedBatchError:
    """The tap counted otherwise."""
    return DamagedBatchError(f"A batch file of {stream} has {rows} rows, but {announced} were announced.")


def _damaged(error: Exception) -> DamagedBatchError:
    if isinstance(error, FileNotFoundError):
        return DamagedBatchError("A batch file does not exist.")
    return DamagedBatchError(f"A batch file is cut off, or is not what it says it is ({type(error).__name__}).")


def _text(path: Path, compression: str) -> IO[str]:
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError  # a pipe would be waited for, a device may have no end
    if compression == "gzip":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


class RecordFile:
    """Records on their way, as a file of CSV."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._columns = [(column.source, column.kind) for column in layout.from_source()]
        self.fields = [*(source for source, _ in self._columns), EXTRACTED_AT, VERSION, TOMBSTONE]
        self.count = 0
        self._stack = ExitStack()
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="target-duckdb-"))
        self.path = Path(folder) / "records.csv"
        # Halves of surrogate pairs have no UTF-8.
        self._file = self._stack.enter_context(self.path.open("w", encoding="utf-8", errors="replace", newline=""))
        self._write = csv.writer(self._file, lineterminator="\n", quoting=csv.QUOTE_ALL).writerow
        # DuckDB takes the first line break of a file for the end of all rows, be it within quotes.
        self._write(f"f{at}" for at in range(len(self.fields)))

    def add(self, record: Mapping[str, Any], *, extracted: str | None, version: int | None) -> None:
        """One more; MissingKeyError without its key."""
        if not isinstance(record, Mapping):
            raise MessageError(f"A record of {self._layout.stream} is not an object.")
        missing = [key.source for key in self._layout.keys if key.source not in record]
        if missing:
            raise MissingKeyError(f"A record of {self._layout.stream} has no {', '.join(missing)}, which is its key.")
        row = [_text_of(kind, record.get(source)) for source, kind in self._columns]
        row += (extracted or NULL, NULL if version is None else str(version))
        self._write([*row, "t" if self._layout.is_tombstone(record) else NULL])
        self.count += 1

    def finish(self) -> None:
        """All that came is in the file."""
        self._file.flush()

    def close(self) -> None:
        """The file goes."""
        self._stack.close()


def _text_of(kind: Kind, value: object) -> str:
    if value is None:
        return NULL
    if kind is Kind.JSON or isinstance(value, (dict, list, tuple)):
        return str(simplejson.dumps(value, use_decimal=True, ensure_ascii=False, default=str))
    if isinstance(value, bool):
        return "true" if value else "false"
    if kind is Kind.BIGINT and isinstance(value, Decimal) and value == value.to_integral_value():
        return str(int(value))
    return value.isoformat() if isinstance(value, (datetime, date, time)) else str(value)


def paths(urls: Sequence[str]) -> list[Path]:
    """The files of a manifest."""
    return [local(url) for url in urls]
