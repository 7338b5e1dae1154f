"""One batch of one stream: staged, then stored at once. What the database and Parquet have in common."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Final

import duckdb

from target_duckdb.errors import MisfitError
from target_duckdb.kinds import Kind
from target_duckdb.layout import Column, Layout
from target_duckdb.refusals import told
from target_duckdb.stage import Source, Stage

log: Final = logging.getLogger("target-duckdb")
LIMITS: Final[dict[str, Any]] = {  # beyond its memory DuckDB goes to disk
    "memory_limit": "512MB",  # measured: batches of 45 columns fail with 40 MB, of 800 columns with 300 MB
    "threads": 2,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
# A progress bar would come between the STATEs on stdout.
SESSION: Final = "SET TimeZone = 'UTC'; SET enable_progress_bar = false"


class Store(ABC):
    """Where streams go. types: stream → column → the type it has there."""

    connection: duckdb.DuckDBPyConnection

    def __init__(self) -> None:
        self.types: dict[str, dict[str, str]] = {}

    @abstractmethod
    def prepare(self, layout: Layout, *, keyed: bool) -> None:
        """The stream's place exists and can hold the layout; its types are known."""

    @abstractmethod
    def store(self, stage: Stage, *, keyed: bool) -> None:
        """All of the stage is there afterwards, or nothing of it."""

    @abstractmethod
    def make_doubles(self, layout: Layout, names: Sequence[str]) -> None:
        """These columns become DOUBLE."""

    def common(self, layout: Layout, milliseconds: int) -> Mapping[str, object]:
        """More values that all rows of a batch share."""
        del layout
        return {"_sdc_sequence": milliseconds}

    def load(self, layout: Layout, sources: Sequence[Source], common: Mapping[str, object], *, keyed: bool) -> int:
        """Load a batch; the number of rows that came."""
        stage = Stage(self.connection, layout, self.types[layout.stream], common)
        try:
            rows = sum(stage.fill(source) for source in sources)
            if rows:
                self._judge(stage)
                if keyed:
                    stage.check_keys()
                self.store(stage, keyed=keyed)
        except duckdb.ConversionException as error:
            raise _misfit(stage, stage.misfits()) from error
        except duckdb.Error as error:
            raise told(error, layout.stream) from error
        stage.drop()
        return rows

    def _judge(self, stage: Stage) -> None:
        """Nothing is guessed or rounded: integers have no fraction; a number beyond DECIMAL makes its column DOUBLE.

        In a key it is refused: as DOUBLE, several keys could become one.
        """
        if misread := stage.misread():
            raise _misfit(stage, misread)
        rounded = stage.rounded()
        broken = [column.source for column in rounded if stage.type(column) == Kind.BIGINT]
        if broken:
            raise MisfitError(
                f"Integers of {stage.layout.stream} have fractions: {', '.join(broken)}.",
                hint="Let the tap say that they are numbers.",
            )
        if misread := rounded and stage.misread(doubles=rounded):
            raise _misfit(stage, misread)
        if keys := [column.source for column in rounded if column.key]:
            raise MisfitError(
                f"Keys of {stage.layout.stream} have more digits than DuckDB's DECIMAL holds: {', '.join(keys)}.",
                hint="As DOUBLE several of them would be one. Let the tap say that they are strings.",
            )
        if rounded:
            self.make_doubles(stage.layout, [column.name for column in rounded])
            stage.types.update({column.name: Kind.DOUBLE.value for column in rounded})

    def close(self) -> None:
        """Give the file back."""
        self.connection.close()


def _misfit(stage: Stage, columns: Sequence[Column]) -> MisfitError:
    names = ", ".join(column.source for column in columns)
    return MisfitError(
        f"Values of {stage.layout.stream} do not fit their columns: {names or 'unknown'}.",
        hint="Correct the values at the source, or let the tap say their true type.",
    )
