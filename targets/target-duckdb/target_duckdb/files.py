"""Files that DuckDB reads: those of BATCH messages, and the CSV that records are written to."""

import csv
import gzip
import io
import secrets
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import unquote, urlsplit

import simplejson  # type: ignore[import-untyped]  # its stubs are a package of their own

from target_duckdb import batchfolder
from target_duckdb.errors import ConfigError, DamagedBatchError, MessageError, MissingKeyError
from target_duckdb.kinds import Kind
from target_duckdb.layout import EXTRACTED_AT, VERSION, Layout

TOMBSTONE: Final = "\0tombstone"  # no property's name, since identifiers lose the NUL
NULL: Final = f"\x02{secrets.token_hex(8)}\x02"  # stands for null in files of ours, so that '' can stay ''
csv.field_size_limit(sys.maxsize)


@dataclass(frozen=True, slots=True)
class BatchFile:
    """A file that a manifest names. within: the folder it has to be in; None: it may be anywhere."""

    path: Path
    within: Path | None

    @contextmanager
    def opened(self) -> Iterator[int]:
        """A descriptor for reading; DamagedBatchError where it is no batch file."""
        try:
            with batchfolder.opened(self.path, within=self.within) as number:
                yield number
        except batchfolder.NoBatchFileError:
            raise DamagedBatchError(
                "A batch file is no plain file in the folder of batch files.",
                hint="The tap's batch_config.storage.root must be the loader's.",
            ) from None
        except FileNotFoundError as error:
            raise DamagedBatchError("A batch file does not exist.") from error
        except PermissionError as error:
            raise DamagedBatchError("A batch file may not be read.", hint="Run tap and loader as one user.") from error

    def delete(self) -> None:
        """Remove it, if the folder is known: no link is followed, no device is touched."""
        if self.within is not None:
            batchfolder.remove(self.path, within=self.within)

    @property
    def size(self) -> int:
        """Bytes as they are; 0 where it is missing."""
        return self.path.stat().st_size if self.path.exists() else 0


def local(url: str) -> Path:
    """The file or folder on this machine that a URL names; ConfigError where it names something else."""
    elsewhere = ConfigError(
        "Batch files must lie on this machine.", hint="Set batch_config.storage.root to a file:///…."
    )
    try:
        parts = urlsplit(url)
    except ValueError:
        raise elsewhere from None
    if parts.scheme not in {"", "file"} or parts.netloc not in {"", "localhost"}:
        raise elsewhere
    return Path(unquote(parts.path) if parts.scheme else url)


def header(file: BatchFile, compression: str) -> list[str]:
    """The names in the first row; none for an empty file."""
    try:
        with _text(file, compression) as lines:
            fields = next(csv.reader(lines, strict=True), [])
    except (UnicodeDecodeError, csv.Error, OSError, EOFError) as error:
        raise _damaged(error) from error
    if len(set(fields)) < len(fields):
        raise DamagedBatchError("A batch file has one column twice.")
    return fields


def records(file: BatchFile, compression: str) -> Iterator[Any]:
    """The records of a file of JSON Lines."""
    try:
        with _text(file, compression) as lines:
            for line in lines:
                if not line.isspace():
                    yield simplejson.loads(line, use_decimal=True)
    except (ValueError, OSError, EOFError) as error:
        raise _damaged(error) from error


def other_count(stream: str, rows: int, announced: int) -> DamagedBatchError:
    """The tap counted otherwise."""
    return DamagedBatchError(f"A batch file of {stream} has {rows} rows, but {announced} were announced.")


def _damaged(error: Exception) -> DamagedBatchError:
    return DamagedBatchError(f"A batch file is cut off, or is not what it says it is ({type(error).__name__}).")


@contextmanager
def _text(file: BatchFile, compression: str) -> Iterator[IO[str]]:
    with file.opened() as number, ExitStack() as stack:
        raw = stack.enter_context(open(number, "rb", closefd=False))
        unpacked: Any = stack.enter_context(gzip.open(raw)) if compression == "gzip" else raw
        yield stack.enter_context(io.TextIOWrapper(unpacked, encoding="utf-8-sig", newline=""))


class RecordFile:
    """Records on their way, as a file of CSV."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._columns = [(column.source, column.kind) for column in layout.from_source()]
        self.fields = [*(source for source, _ in self._columns), EXTRACTED_AT, VERSION, TOMBSTONE]
        self.count = 0
        self._stack = ExitStack()
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="target-duckdb-"))
        path = Path(folder) / "records.csv"
        self.file = BatchFile(path, within=None)
        # Halves of surrogate pairs have no UTF-8.
        self._file = self._stack.enter_context(path.open("w", encoding="utf-8", errors="replace", newline=""))
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


def batch_files(urls: Sequence[str], config: Mapping[str, Any]) -> list[BatchFile]:
    """The files of a manifest. config: of the target."""
    root: str | None = ((config.get("batch_config") or {}).get("storage") or {}).get("root")
    within = None if root is None else local(root)
    return [BatchFile(local(url), within) for url in urls]
