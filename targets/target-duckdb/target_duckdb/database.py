"""A DuckDB file: a schema of it, a table per stream, one transaction per batch."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import duckdb

from target_duckdb.errors import DestinationError
from target_duckdb.kinds import Kind, widened
from target_duckdb.layout import DELETED_AT, Layout, is_mark
from target_duckdb.loading import LIMITS, SESSION, Store
from target_duckdb.names import identifier, literal, quoted
from target_duckdb.notes import Notes
from target_duckdb.refusals import columns_gone, gone, is_held, not_made, not_opened, told
from target_duckdb.stage import Stage

log: Final = logging.getLogger("target-duckdb")
_PAUSE: Final = 0.2  # seconds


class Database(Store):
    """Upserts by key: rows whose keys came are deleted, then all are inserted. No index is kept for that.

    continued: streams whose tables must be there
    notes:     the columns of earlier loads, none of which a continued stream may lack
    patience:  seconds to wait for somebody else who has the file open
    """

    def __init__(
        self,
        path: Path,
        schema: str,
        *,
        hard_delete: bool,
        patience: float,
        continued: frozenset[str] = frozenset(),
        notes: Notes | None = None,
    ) -> None:
        super().__init__()
        self._schema = identifier(schema)
        self._hard_delete = hard_delete
        self._continued = continued
        self._notes = notes or Notes(None)
        self.connection = _opened(path, patience)
        self.connection.execute(SESSION)
        self._name = str(self._one("SELECT current_database()"))

    # ---- tables

    def prepare(self, layout: Layout, *, keyed: bool) -> None:
        """Make the table, or add and widen columns, in one transaction.

        DestinationError where a table or column is gone, with its earlier values, of a stream that brings only what
        changed since.
        """
        del keyed
        if layout.stream in self._continued:
            self._refuse_gone(layout)
        self._atomically(layout, lambda: self._evolve(layout))
        self._notes.add(layout.stream, (column.name for column in layout.columns))
        self.types[layout.stream] = self._columns(layout)

    def _refuse_gone(self, layout: Layout) -> None:
        there = self._columns(layout)
        if not there:
            raise gone(self._label(layout))
        earlier = self._notes.loaded_with(layout.stream)
        if lost := [column.name for column in layout.columns if column.name in earlier and column.name not in there]:
            raise columns_gone(lost, self._label(layout))

    def make_doubles(self, layout: Layout, names: Sequence[str]) -> None:
        """Numbers came that DECIMAL(38,18) cannot hold."""
        where = self._table(layout)
        for name in names:
            self._ddl(f"ALTER TABLE {where} ALTER COLUMN {quoted(name)} SET DATA TYPE {Kind.DOUBLE.value}")

    def _evolve(self, layout: Layout) -> None:
        where, existing = self._table(layout), self._columns(layout)
        if not existing:
            if not self._one(f"SELECT count(*) FROM duckdb_schemas() WHERE {self._is_schema()}"):
                self._ddl(f"CREATE SCHEMA {quoted(self._schema)}")
            columns = ", ".join(f"{quoted(column.name)} {column.kind.value}" for column in layout.columns)
            self._ddl(f"CREATE TABLE {where} ({columns})")
            return
        folded = {name.casefold(): type_ for name, type_ in existing.items()}
        for column in layout.columns:
            name, type_ = quoted(column.name), folded.get(column.name.casefold())
            if type_ is None:
                self._ddl(f"ALTER TABLE {where} ADD COLUMN {name} {column.kind.value}")
            elif wider := widened(type_, column.kind):
                # As text a decimal would show all its 18 zeros.
                plain = f"rtrim(rtrim({name}::VARCHAR, '0'), '.')" if type_ == Kind.DECIMAL else name
                using = plain if wider == Kind.TEXT else name
                self._ddl(f"ALTER TABLE {where} ALTER COLUMN {name} SET DATA TYPE {wider} USING {using}::{wider}")

    def _columns(self, layout: Layout) -> dict[str, str]:
        """Column, as the layout spells it, → type, without generated ones; empty where there is no table."""
        schema, name = self._is_schema(), f"lower({literal(layout.table)})"
        if self._one(f"SELECT count(*) FROM duckdb_views() WHERE {schema} AND lower(view_name) = {name}"):
            raise DestinationError(
                f"{self._label(layout)} is a view, so nothing can be loaded into it.",
                hint="Rename or drop it, or load into another schema.",
            )
        spelt = {column.name.casefold(): column.name for column in layout.columns}
        mine = f"{schema} AND lower(table_name) = {name} AND NOT is_generated"
        rows = self.connection.execute(f"SELECT column_name, data_type FROM duckdb_columns() WHERE {mine}").fetchall()
        return {spelt.get(name.casefold(), name): type_ for name, type_ in rows}

    # ---- rows

    def store(self, stage: Stage, *, keyed: bool) -> None:
        """Insert, or replace by key, in one transaction."""
        work = (lambda: self._merge(stage)) if keyed else (lambda: self._insert(stage, "true"))
        self._atomically(stage.layout, work)

    def _insert(self, stage: Stage, where: str) -> None:
        names = ", ".join(quoted(column.name) for column in stage.layout.columns)
        self.connection.execute(f"INSERT INTO {self._table(stage.layout)} ({names}) {stage.select(where)}")

    def _merge(self, stage: Stage) -> None:
        buried = stage.has_tombstones()
        deleted = next((column for column in stage.layout.columns if column.source == DELETED_AT), None)
        if self._hard_delete and deleted is not None:
            rows, there, buried = "true", f" AND {stage.text(deleted)} IS NULL", False
        else:
            rows, there = f"NOT {stage.tombstone}" if buried else "true", ""
        others = self._others(stage.layout)
        if others:
            self._set_aside(stage, others, rows)
        self._remove(stage, rows)
        self._insert(stage, f"({stage.last(rows)}){there}")
        if others:
            self._give_back(stage, others)
        if buried:
            self._mark(stage)

    def _others(self, layout: Layout) -> list[str]:
        """Columns of the table that come no more, or that somebody else made."""
        ours = {column.name for column in layout.columns}
        return [name for name in self.types[layout.stream] if name not in ours]

    def _set_aside(self, stage: Stage, others: Sequence[str], where: str) -> None:
        """Remember what the rows that are about to be replaced have in these columns."""
        names = ", ".join(f"t.{quoted(name)} AS o{at}" for at, name in enumerate(others))
        self.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE aside AS SELECT s.*, {names} FROM {self._table(stage.layout)} AS t JOIN"
            f" (SELECT DISTINCT {stage.keys} FROM temp.stage WHERE {where}) AS s ON {self._same(stage)}"
        )

    def _give_back(self, stage: Stage, others: Sequence[str]) -> None:
        changes = ", ".join(f"{quoted(name)} = s.o{at}" for at, name in enumerate(others))
        self.connection.execute(
            f"UPDATE {self._table(stage.layout)} AS t SET {changes} FROM temp.aside AS s WHERE {self._same(stage)}"
        )
        self.connection.execute("DROP TABLE temp.aside")

    def _remove(self, stage: Stage, where: str) -> None:
        """Delete the table's rows with the keys of these of the stage."""
        self.connection.execute(
            f"DELETE FROM {self._table(stage.layout)} AS t USING"
            f" (SELECT DISTINCT {stage.keys} FROM temp.stage WHERE {where}) AS s WHERE {self._same(stage)}"
        )

    def _mark(self, stage: Stage) -> None:
        """Tombstones that no later row outlived say when their rows were deleted; all else stays."""
        layout = stage.layout
        marks = [column for column in layout.columns if is_mark(column.source) and not column.key]
        values = ", ".join(f"{stage.value(column)} AS {quoted(column.name)}" for column in marks)
        changes = ", ".join(f"{quoted(m.name)} = coalesce(s.{quoted(m.name)}, t.{quoted(m.name)})" for m in marks)
        self.connection.execute(
            f"UPDATE {self._table(layout)} AS t SET {changes} FROM"
            f" (SELECT {stage.keys}, {values} FROM temp.stage WHERE ({stage.last()}) AND {stage.tombstone}) AS s"
            f" WHERE {self._same(stage)}"
        )

    # ---- inside

    def _same(self, stage: Stage) -> str:
        return " AND ".join(f"t.{quoted(key.name)} = s.k{at}" for at, key in enumerate(stage.layout.keys))

    def _table(self, layout: Layout) -> str:
        return f"{quoted(self._name)}.{quoted(self._schema)}.{quoted(layout.table)}"

    def _label(self, layout: Layout) -> str:
        return f"{self._schema}.{layout.table}"

    def _is_schema(self) -> str:
        return f"database_name = {literal(self._name)} AND lower(schema_name) = lower({literal(self._schema)})"

    def _one(self, question: str) -> Any:
        row = self.connection.execute(question).fetchone()
        return row[0] if row else None

    def _ddl(self, statement: str) -> None:
        self.connection.execute(statement)
        log.info("DDL: %s", statement)

    def _atomically(self, layout: Layout, work: Any) -> None:
        self.connection.execute("BEGIN")
        try:
            work()
            self.connection.execute("COMMIT")
        except duckdb.ConversionException:
            self.connection.execute("ROLLBACK")
            raise  # whoever knows the values says which
        except duckdb.Error as error:
            raise told(error, self._label(layout)) from error


def _opened(path: Path, patience: float) -> duckdb.DuckDBPyConnection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_made(error, path.parent) from error
    until = time.monotonic() + patience
    while True:
        try:
            return duckdb.connect(path, config=LIMITS)
        except duckdb.Error as error:
            if not is_held(error) or time.monotonic() > until:
                raise not_opened(error, path) from error
        time.sleep(_PAUSE)
