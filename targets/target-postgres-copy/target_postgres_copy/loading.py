"""One batch of one stream, in one transaction: COPY into a stage, then one merge. Before or after, nothing between.

The stage is a temporary table that goes with the transaction. Where the table does not exist yet, it is its own
stage: made and filled in the same transaction. In both cases nobody wrote to the stage before and
COPY is all that writes, so that the physical order of rows (ctid) is the order they came in, and "the last one
wins" can be told by it. source: Postgres, CopyFrom: tables made in the same transaction bypass the free space map.

A table that this run has made has no key yet as a rule (growing.py), so that its rows are inserted as they are.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, LiteralString, Protocol

from psycopg import Connection, sql
from psycopg.errors import InvalidParameterValue, InvalidTextRepresentation, UniqueViolation

from target_postgres_copy import building, fitting, growing, keys, tables, wholes
from target_postgres_copy.deriving import derive
from target_postgres_copy.kinds import Kind
from target_postgres_copy.layout import BATCH_WIDE, DELETED_AT, Column
from target_postgres_copy.patience import in_turn
from target_postgres_copy.refusals import kept_out
from target_postgres_copy.settings import LoadMethod
from target_postgres_copy.stage import Place, Stage

log: Final = logging.getLogger("target-postgres-copy")
Values = Mapping[str, object]

# Whatever the role or the database has set; the transaction is all that survives a pooler. Without a path, functions
# and operators that somebody else has made are never taken for Postgres's own; source: Postgres, CVE-2018-1058.
PREPARE: Final = (
    "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SET LOCAL search_path = pg_catalog, pg_temp;"
    " SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL quote_all_identifiers = off;"
    " SET LOCAL extra_float_digits = 1;"
    " SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL jit = off"
)
# So that a stage of 50,000 rows stays in memory instead of being written out and read again: a tenth of loading.
ROOM: Final = "SET LOCAL temp_buffers = '48MB'"


class Source(Protocol):
    """Where the rows of a batch come from."""

    @property
    def marks(self) -> Sequence[Column]:
        """The columns that tombstones have, the key aside; none if there are no tombstones."""

    def fill(self, stage: Stage) -> int:
        """Copy all rows into the stage; how many there were."""

    def fill_tombstones(self, stage: Stage) -> int:
        """Copy all tombstones into a stage of their own; how many came."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came with a batch.

    rows:    how many
    deleted: how many of them files told to be deleted; in records the tap has counted them
    """

    rows: int
    deleted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What to load, and how.

    growing: whether the table has no key before all rows are there
    common: metadata column → value, the same for all rows of the batch
    derive: whether properties are derived from others (files as the source wrote them)
    """

    place: Place
    direct: bool
    growing: bool
    source: Source
    method: LoadMethod
    hard_delete: bool
    common: Values
    derive: bool

    def load(self, connection: Connection[Any], wait: Callable[[], None]) -> Loaded:
        """Load the batch. wait: returns when the batches before are committed."""
        if not self.place.decimals:
            try:
                return self._load(connection, wait, direct=self.direct)
            except InvalidTextRepresentation:
                if not wholes.columns(self.place):
                    raise
                self.place.decimals = True
        return self._load(connection, wait, direct=False)

    def _load(self, connection: Connection[Any], wait: Callable[[], None], *, direct: bool) -> Loaded:
        """In one transaction. direct: the stage is the table."""
        with connection.transaction():
            connection.execute(PREPARE)
            if self.direct:
                wait()
            if self.direct and not direct:
                self._create(connection, keyed=self._keyed)
            stage = self._direct_stage(connection) if direct else self._temporary_stage(connection)
            rows = self.source.fill(stage)
            if not direct and self.place.decimals:
                wholes.settle(stage, self.place)
            self._say_nuls(stage)
            self._judge(stage)
            if direct:
                self._finish(stage)
            else:
                if self._keyed:
                    keys.make_unique(stage)
                wait()
                self._merge(stage, rows)
            if self.source.marks:
                rows += self._apply_tombstones(connection)
        return Loaded(rows, stage.found_deleted)

    def _say_nuls(self, stage: Stage) -> None:
        if stage.nuls.count:
            log.warning(
                "%d NUL characters were left out of %s: Postgres cannot store them.",
                stage.nuls.count,
                self.place.layout.label,
            )

    def _finish(self, stage: Stage) -> None:
        """The stage is the table."""
        building.remember(stage.connection, self.place)
        if self.growing:
            keys.make_unique(stage)
        elif self._keyed:
            try:
                with stage.connection.transaction():
                    tables.add_key(stage.connection, self.place.layout, self.place.table)
            except UniqueViolation:
                keys.keep_last(stage)
                tables.add_key(stage.connection, self.place.layout, self.place.table)
        self._adjust(stage)
        self._settle(stage)

    def _merge(self, stage: Stage, rows: int) -> None:
        """From the temporary stage, which was filled with so many rows, into the table."""
        (building.remember if self.direct else building.hold)(stage.connection, self.place)
        if not self._keyed:
            self._adjust(stage)
            self._insert(stage, rows)
            return
        # Two syncs of one table take turns from here on; the same keys in another order would deadlock.
        in_turn(stage.connection, f"{self.place.layout.schema}.{self.place.table}")
        self._adjust(stage)
        if not (self.growing and self._added(stage, rows)):
            self._insert(stage, rows, self._on_conflict())

    def _added(self, stage: Stage, rows: int) -> bool:
        """Insert into a table without key; False if somebody has given it one meanwhile and some rows are there."""
        try:
            with stage.connection.transaction():
                self._insert(stage, rows)
        except UniqueViolation:
            found = tables.find(stage.connection, self.place.layout.schema, self.place.table)
            if found is None or frozenset(key.name for key in self.place.layout.keys) not in found.unique:
                raise
            return False
        return True

    def _adjust(self, stage: Stage) -> None:
        if self.derive:
            derive(stage)
        if self._removes:
            self._remove(stage)

    @property
    def _keyed(self) -> bool:
        return bool(self.place.layout.keys) and self.method is not LoadMethod.APPEND

    @property
    def _removes(self) -> bool:
        return self.hard_delete and self.place.layout.column(DELETED_AT) is not None

    def _direct_stage(self, connection: Connection[Any]) -> Stage:
        layout = self.place.layout
        self._create(connection, keyed=False)
        stage = Stage(connection, layout, tables.named(layout.schema, self.place.table), fresh=True)
        self._set_common(stage)
        return stage

    def _create(self, connection: Connection[Any], *, keyed: bool) -> None:
        if self.growing:
            growing.begin(connection, self.place.layout, self.place.table)
        else:
            tables.create(connection, self.place.layout, self.place.table, keyed=keyed)

    def _temporary_stage(self, connection: Connection[Any], name: str = "stage") -> Stage:
        layout = self.place.layout
        with suppress(InvalidParameterValue), connection.transaction():  # a pooled session may have chosen already
            connection.execute(ROOM)
        where = sql.Identifier("pg_temp", name)
        definitions = [
            sql.SQL("{} {}").format(sql.Identifier(column.name), self._stage_type(column)) for column in layout.columns
        ]
        connection.execute(
            sql.SQL("CREATE TEMPORARY TABLE {} ({}) ON COMMIT DROP").format(where, sql.SQL(", ").join(definitions))
        )
        stage = Stage(connection, layout, where, fresh=False)
        self._set_common(stage)
        return stage

    def _stage_type(self, column: Column) -> sql.Composable:
        type_ = fitting.staged(column, self.place.types.get(column.name))
        if self.place.decimals and type_ == Kind.BIGINT.value:
            type_ = Kind.NUMERIC.value
        return sql.SQL(type_)  # out of the catalog, quoted by Postgres

    def _set_common(self, stage: Stage) -> None:
        """As defaults, which COPY fills in by itself."""
        for column in filter(self._is_common, self.place.layout.columns):
            value = sql.Literal(self.common[column.source])
            self._alter(stage, "ALTER COLUMN {} SET DEFAULT {}", sql.Identifier(column.name), value)

    def _is_common(self, column: Column) -> bool:
        return column.source in BATCH_WIDE and self.common.get(column.source) is not None

    def _alter(self, stage: Stage, change: LiteralString, *parts: sql.Composable) -> None:
        stage.connection.execute(sql.SQL("ALTER TABLE {} ").format(stage.where) + sql.SQL(change).format(*parts))

    def _remove(self, stage: Stage) -> None:
        """Rows that came as deleted are in neither table afterwards."""
        layout = self.place.layout
        column = layout.column(DELETED_AT)
        deleted = sql.Identifier(column.name if column else DELETED_AT)
        if self._keyed and not self.direct:
            stage.connection.execute(
                sql.SQL("DELETE FROM {} AS t USING {} AS s WHERE {} AND s.{} IS NOT NULL").format(
                    tables.named(layout.schema, self.place.table), stage.where, self._same_key(), deleted
                )
            )
        stage.connection.execute(sql.SQL("DELETE FROM {} WHERE {} IS NOT NULL").format(stage.where, deleted))

    def _settle(self, stage: Stage) -> None:
        """The stage is the table: nothing stays of what only loading needed."""
        for name in stage.scratch:
            self._alter(stage, "DROP COLUMN {}", sql.Identifier(name))
        for column in filter(self._is_common, self.place.layout.columns):
            self._alter(stage, "ALTER COLUMN {} DROP DEFAULT", sql.Identifier(column.name))

    def _insert(self, stage: Stage, rows: int, on_conflict: sql.Composable | None = None) -> None:
        """All that is left of so many rows; DestinationError where Postgres stores fewer than there are."""
        layout = self.place.layout
        statement = sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} AS s").format(
            tables.named(layout.schema, self.place.table),
            sql.SQL(", ").join(sql.Identifier(column.name) for column in layout.columns),
            sql.SQL(", ").join(self._value(column) for column in layout.columns),
            stage.where,
        )
        stored = stage.connection.execute(statement + on_conflict if on_conflict else statement).rowcount
        if stored < rows and not (on_conflict and all(column.key for column in layout.columns)):
            self._assert_all(stage, stored)

    def _assert_all(self, stage: Stage, stored: int) -> None:
        """Of rows that came, those with a key that came again and removed ones have left the stage; nothing else."""
        found = stage.connection.execute(sql.SQL("SELECT count(*) FROM {}").format(stage.where)).fetchone()
        there = int(found[0]) if found else 0
        if stored < there:
            raise kept_out(there - stored, there, self.place.layout.label)

    def _on_conflict(self) -> sql.Composable:
        layout = self.place.layout
        changes = [
            sql.SQL("{} = EXCLUDED.{}").format(sql.Identifier(column.name), sql.Identifier(column.name))
            for column in layout.columns
            if not column.key
        ]
        action = sql.SQL("UPDATE SET {}").format(sql.SQL(", ").join(changes)) if changes else sql.SQL("NOTHING")
        return sql.SQL(" ON CONFLICT ({}) DO {}").format(keys.listed(self.place.layout), action)

    def _apply_tombstones(self, connection: Connection[Any]) -> int:
        """Rows whose tombstones came are marked as deleted, or removed; how many tombstones there were.

        Comes after the rows: a tombstone that a later row of the batch outlived is not among them.
        """
        stage = self._temporary_stage(connection, "tombstones")
        count = self.source.fill_tombstones(stage)
        if self.place.decimals:
            wholes.settle(stage, self.place)
        layout = self.place.layout
        table = tables.named(layout.schema, self.place.table)
        if self.hard_delete:
            statement = sql.SQL("DELETE FROM {} AS t USING {} AS s WHERE {}")
            connection.execute(statement.format(table, stage.where, self._same_key()))
            return count
        marks = [*self.source.marks, *(column for column in layout.columns if self._is_common(column))]
        changes = [
            sql.SQL("{} = COALESCE({}, {})").format(
                sql.Identifier(column.name), self._value(column), sql.Identifier("t", column.name)
            )
            for column in dict.fromkeys(marks)
        ]
        statement = sql.SQL("UPDATE {} AS t SET {} FROM {} AS s WHERE {}")
        connection.execute(statement.format(table, sql.SQL(", ").join(changes), stage.where, self._same_key()))
        return count

    def _value(self, column: Column) -> sql.Composable:
        name = sql.Identifier("s", column.name)
        type_ = self.place.types.get(column.name)
        own = fitting.staged(column, type_) == column.kind.value
        return fitting.converted(column, type_, name) if own else name

    def _judge(self, stage: Stage) -> None:
        """Values for columns whose type somebody else chose, where Postgres has not judged them while they came."""
        types = self.place.types
        others = [
            (column, type_)
            for column in stage.layout.columns
            if (type_ := types.get(column.name)) is not None
            and column.kind.value not in {type_.name, type_.base}
            and fitting.staged(column, type_) == column.kind.value
        ]
        fitting.judge(stage.connection, stage.where, others, stage.layout.label)

    def _same_key(self) -> sql.Composable:
        """The row t of the table is the row s of the stage."""
        pairs = ((sql.Identifier("t", key.name), self._value(key)) for key in self.place.layout.keys)
        return sql.SQL(" AND ").join(sql.SQL("{} = {}").format(*pair) for pair in pairs)
