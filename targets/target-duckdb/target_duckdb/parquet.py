"""A folder of Parquet files per stream: a file per batch, there as a whole or not at all."""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

import duckdb

from target_duckdb.layout import SEQUENCE, Layout
from target_duckdb.loading import LIMITS, SESSION, Store
from target_duckdb.names import literal
from target_duckdb.refusals import not_made, not_written
from target_duckdb.stage import Stage

log: Final = logging.getLogger("target-duckdb")
_HALF: Final = ".part"


class ParquetFolder(Store):
    """Only ever adds files. They are named after their rows' `_sdc_sequence`, which grows from file to file."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._last: dict[str, int] = {}
        self.connection = duckdb.connect(config={**LIMITS, "temp_directory": str(path / ".spill")})
        self.connection.execute(SESSION)

    def prepare(self, layout: Layout, *, keyed: bool) -> None:
        """Make the folder; what a crash left half is removed."""
        del keyed
        folder = self._folder(layout)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for half in folder.glob(f"*{_HALF}"):
                half.unlink()
        except OSError as error:
            raise not_made(error, folder) from error
        numbers = [int(file.stem) for file in folder.glob("*.parquet") if file.stem.isdecimal()]
        self._last[layout.stream] = max(numbers, default=0)
        self.types[layout.stream] = {column.name: column.kind.value for column in layout.columns}

    def make_doubles(self, layout: Layout, names: Sequence[str]) -> None:
        """Nothing is there to change: each file has its own types."""
        log.info("%s: %s are DOUBLE from now on.", layout.stream, ", ".join(names))

    def common(self, layout: Layout, milliseconds: int) -> Mapping[str, object]:
        """A sequence later than that of any file there, whatever the clock says."""
        self._last[layout.stream] = max(milliseconds, self._last[layout.stream] + 1)
        return {SEQUENCE: self._last[layout.stream]}

    def store(self, stage: Stage, *, keyed: bool) -> None:
        """Write the file aside, have it on disk, then give it its name."""
        folder = self._folder(stage.layout)
        done = folder / f"{self._last[stage.layout.stream]:016d}.parquet"
        half = done.with_suffix(_HALF)
        rows = stage.select(stage.last() if keyed else "true")
        self.connection.execute(f"COPY ({rows}) TO {literal(str(half))} (FORMAT parquet, COMPRESSION zstd)")
        try:
            _to_disk(half)
            half.rename(done)
            _to_disk(folder)
        except OSError as error:
            raise not_written(error, stage.layout.stream) from error

    def _folder(self, layout: Layout) -> Path:
        name = quote(layout.stream, safe="")
        return self._path / (f"%2E{name[1:]}" if name.startswith(".") else name)


def _to_disk(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
