"""Where the rows of a batch come from: records out of memory, or files of CSV, JSON Lines or Parquet."""

import importlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import IO, Any, Final

from target_postgres_copy import batchfiles
from target_postgres_copy.errors import ConfigError, DamagedBatchError, MessageError
from target_postgres_copy.layout import Column
from target_postgres_copy.records import RecordFormat, Row, decode, written
from target_postgres_copy.stage import Stage

log: Final = logging.getLogger("target-postgres-copy")
_ROWS: Final = 500  # per step; what is in memory at once


class RecordBuffer:
    """Rows that have come so far, as CSV, and tombstones by key. Not for several threads at once."""

    def __init__(self, shape: RecordFormat) -> None:
        self._shape = shape
        self._csv = bytearray()
        self._nuls = 0
        self._outlived = 0
        self.tombstones: dict[tuple[str, ...], Row] = {}
        self.rows = 0

    @property
    def size(self) -> int:
        """Bytes held."""
        return len(self._csv)

    @property
    def marks(self) -> Sequence[Column]:
        """Columns of tombstones, if some came."""
        return self._shape.marks if self.tombstones else ()

    def add(self, rows: Sequence[Row]) -> None:
        """Take rows in."""
        text, nuls = written(rows)
        self._csv += text
        self._nuls += nuls
        self.rows += len(rows)

    def bury(self, row: Row) -> None:
        """Take a tombstone in. It is applied after the rows, whose records came before it."""
        key = self._shape.key_of(row)
        self._outlived += key in self.tombstones
        self.tombstones[key] = row
        self.rows += 1

    def revive(self, row: Row) -> None:
        """A row comes, so that an earlier tombstone of its key counts no more."""
        self._outlived += self.tombstones.pop(self._shape.key_of(row), None) is not None

    def fill(self, stage: Stage) -> int:
        """Copy all rows into the stage."""
        stage.nuls.count += self._nuls
        columns = [stage.column_for(source) for source in self._shape.sources]
        return stage.copy(columns, (self._csv,), file=False) + self._outlived

    def fill_tombstones(self, stage: Stage) -> int:
        """Copy all tombstones into a stage of their own."""
        text, _ = written(list(self.tombstones.values()))
        columns = [stage.column_for(source) for source in self._shape.sources]
        return stage.copy(columns, (text,), file=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchFiles:
    """The files of one BATCH message.

    within: the folder they have to be in; None: anywhere
    counts: rows of each file, as the tap announced; 0 files where it did not
    shape:  how records become rows; not for CSV
    """

    stream: str
    urls: Sequence[str]
    within: str | None
    format: str
    compression: str | None
    counts: Sequence[int]
    extracted: str | None
    shape: RecordFormat

    @property
    def marks(self) -> Sequence[Column]:
        """None: files hold no tombstones."""
        return ()

    def fill_tombstones(self, stage: Stage) -> int:
        """There are none."""
        del stage
        return 0

    def fill(self, stage: Stage) -> int:
        """Copy all files into the stage, one after the other; DamagedBatchError if one has another number of rows."""
        total = 0
        for at, url in enumerate(self.urls):
            with batchfiles.opened(url, within=self.within) as file:
                rows = self._copy(stage, file)
            if self.counts and rows != self.counts[at]:
                raise DamagedBatchError(
                    f"A batch file of {self.stream} has {rows} rows, but {self.counts[at]} were announced."
                )
            total += rows
        return total

    def _copy(self, stage: Stage, file: IO[bytes]) -> int:
        if self.format == "csv":
            return self._csv(stage, batchfiles.unpacked(file, self.compression))
        if self.format == "jsonl":
            lines = batchfiles.lines(batchfiles.unpacked(file, self.compression))
            return self._rows(stage, self.shape.rows(lines, extracted=self.extracted))
        if self.format == "parquet":
            records = _parquet(file)
            return self._rows(stage, (self.shape.row_of(record, extracted=self.extracted) for record in records))
        raise MessageError(f"Batch files of {self.format} cannot be loaded.", hint="Use csv, jsonl or parquet.")

    def _csv(self, stage: Stage, chunks: Iterator[bytes]) -> int:
        fields, whole = batchfiles.split_header(stage.nuls.strip(chunks))
        if not fields:
            return 0
        if len(set(fields)) < len(fields):
            raise DamagedBatchError(f"A batch file of {self.stream} has one column twice.")
        unknown = [field for field in fields if stage.layout.column(field) is None]
        if len(unknown) == len(fields):
            raise DamagedBatchError(
                f"A batch file of {self.stream} has no column that is in its schema.",
                hint="Discover the streams again, then sync; see the tap's own log.",
            )
        used = {name for rule in stage.layout.derived for name in (rule.when, rule.value)}
        if ignored := sorted(set(unknown) - used):
            log.warning("%s: not in the schema, so left out: %s", self.stream, ", ".join(ignored))
        return stage.copy([stage.column_for(field) for field in fields], whole, file=True)

    def _rows(self, stage: Stage, rows: Iterable[Row]) -> int:
        columns = [stage.column_for(source) for source in self.shape.sources]
        return stage.copy(columns, self._written(stage, iter(rows)), file=False)

    def _written(self, stage: Stage, rows: Iterator[Row]) -> Iterator[bytes]:
        while some := list(islice(rows, _ROWS)):
            text, nuls = written(some)
            stage.nuls.count += nuls
            yield text


def records_in(
    stream: str, urls: Sequence[str], encoding: str, compression: str | None, *, within: str | None
) -> Iterator[Mapping[str, Any]]:
    """The records of batch files one by one, for stream maps; ConfigError for CSV, which has no types."""
    if encoding not in {"jsonl", "parquet"}:
        raise ConfigError(
            f"Stream maps and flattening cannot be applied to {encoding} files, as {stream} comes in.",
            hint="Remove them, or let the tap write jsonl.",
        )
    for url in urls:
        with batchfiles.opened(url, within=within) as file:
            if encoding == "parquet":
                yield from _parquet(file)
            else:
                unpacked = batchfiles.unpacked(file, compression)
                yield from (decode(line) for line in batchfiles.lines(unpacked) if not line.isspace())


def _parquet(file: IO[bytes]) -> Iterator[Mapping[str, Any]]:
    try:
        arrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise ConfigError(
            "Parquet batch files need pyarrow.",
            hint="Install target-postgres-copy[parquet], or let the tap write jsonl.",
        ) from None
    try:
        for batch in parquet.ParquetFile(file).iter_batches(batch_size=_ROWS):
            yield from _values(batch)
    except (arrow.ArrowException, OSError) as error:
        raise DamagedBatchError("A batch file is cut off, or is no Parquet.") from error


def _values(batch: Any) -> list[Mapping[str, Any]]:
    try:
        records: list[Mapping[str, Any]] = batch.to_pylist()
    except ValueError as error:
        raise MessageError(
            "A batch file of Parquet has times of nanoseconds.", hint="Let the tap write microseconds, or jsonl."
        ) from error
    return records
