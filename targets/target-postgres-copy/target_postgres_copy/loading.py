"""One batch of one stream, in one transaction: COPY into a stage, then one merge. Before or after, nothing between.

The stage is a temporary table that goes with the transaction. Where the table does not exist yet, it is its own
stage: made, filled and given its key in the same transaction. In both cases nobody wrote to the stage before and
COPY is all that writes, so that the physical order of rows (ctid) is the order they came in, and "the last one
wins" can be told by it. source: Postgres, CopyFrom: tables made in the same transaction bypass the free space map.
"""

import itertools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, LiteralString, Protocol

from psycopg import Connection, sql
from psycopg.errors import UniqueViolation

from target_postgres_copy import tables
from target_postgres_copy.batchfiles import Nuls
from target_postgres_copy.kinds import Kind
from target_postgres_copy.layout import BATCH_WIDE, DELETED_AT, Column, Derived, Layout
from target_postgres_copy.settings import LoadMethod

log: Final = logging.getLogger("target-postgres-copy")
Values = Mapping[str, object]

# Whatever the role or the database has set; the transaction is all that survives a pooler.
PREPARE: Final = (
    "SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO, YMD';"
    " SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL jit = off"
)


class Source(Protocol):
    """Where the rows of a batch come from."""

    def fill(self, stage: "Stage") -> int:
        """Copy all rows into the stage; how many there were."""


@dataclass(slots=True, kw_only=True)
class Place:
    """Where a stream's rows go; shared by all its batches.

    table:  the identifier: the layout's, or one aside while a table is built anew
    exists: whether the table is there, or will be when the batches before are done
    types:  its columns' types, where it existed before
    """

    layout: Layout
    table: str
    exists: bool = False
    types: Mapping[str, str] = field(default_factory=dict)


class Stage:
    """A table that is filled by COPY."""

    def __init__(self, connection: Connection[Any], layout: Layout, where: sql.Identifier, *, fresh: bool) -> None:
        """fresh: the table was made in this transaction and is no temporary one, so rows can be frozen at once."""
        self.connection = connection
        self.layout = layout
        self.where = where
        self.nuls = Nuls()
        self.given: set[str] = set()
        self._freeze = sql.SQL(", FREEZE" if fresh else "")
        self._scratch: dict[str, str] = {}

    @property
    def scratch(self) -> Sequence[str]:
        """Columns that only the stage has."""
        return list(self._scratch.values())

    def column_for(self, source: str) -> str:
        """The column of a field: the table's, or one of the stage's own for a field the table does not have."""
        column = self.layout.column(source)
        if column is not None:
            return column.name
        if source not in self._scratch:
            taken = {column.name for column in self.layout.columns} | set(self._scratch.values())
            name = next(name for at in itertools.count(1) if (name := f"_x{at}") not in taken)
            self.connection.execute(
                sql.SQL("ALTER TABLE {} ADD COLUMN {} text").format(self.where, sql.Identifier(name))
            )
            self._scratch[source] = name
        return self._scratch[source]

    def has(self, source: str) -> sql.Identifier | None:
        """The column in which a field arrived, if it did."""
        column = self.layout.column(source)
        if source in self._scratch:
            return sql.Identifier(self._scratch[source])
        return sql.Identifier(column.name) if column is not None and column.name in self.given else None

    def copy(self, columns: Sequence[str], chunks: Iterable[bytes | bytearray], *, file: bool) -> int:
        """COPY CSV into these columns; the number of rows. file: with a header, and quoted empty values are null."""
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        options = sql.SQL(", HEADER, FORCE_NULL ({})").format(names) if file else sql.SQL("")
        statement = sql.SQL("COPY {} ({}) FROM STDIN WITH (FORMAT csv{}{})").format(
            self.where, names, options, self._freeze
        )
        self.given.update(columns)
        with self.connection.cursor() as cursor:
            with cursor.copy(statement) as copy:
                for chunk in chunks:
                    copy.write(chunk)
            return cursor.rowcount


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What to load, and how.

    common: metadata column → value, the same for all rows of the batch
    derive: whether properties are derived from others (files as the source wrote them)
    """

    place: Place
    direct: bool
    source: Source
    method: LoadMethod
    hard_delete: bool
    common: Values
    derive: bool

    def load(self, connection: Connection[Any], wait: Callable[[], None]) -> int:
        """Load the batch; the number of rows that came. wait: returns when the batches before are committed."""
        with connection.transaction():
            connection.execute(PREPARE)
            if self.direct:
                wait()
            stage = self._direct_stage(connection) if self.direct else self._temporary_stage(connection)
            rows = self.source.fill(stage)
            if stage.nuls.count:
                log.warning(
                    "%d NUL characters were left out of %s: Postgres cannot store them.",
                    stage.nuls.count,
                    self.place.layout.label,
                )
            if not self.direct:
                wait()
            self._make_unique(stage)
            if self.derive:
                self._derive(stage)
            if self._removes:
                self._remove(stage)
            if self.direct:
                self._settle(stage)
            else:
                self._merge(stage)
        return rows

    @property
    def _keyed(self) -> bool:
        return bool(self.place.layout.keys) and self.method is not LoadMethod.APPEND

    @property
    def _removes(self) -> bool:
        return self.hard_delete and self.place.layout.column(DELETED_AT) is not None

    def _direct_stage(self, connection: Connection[Any]) -> Stage:
        layout = self.place.layout
        tables.create(connection, layout, self.place.table)
        stage = Stage(connection, layout, tables.named(layout.schema, self.place.table), fresh=True)
        self._set_common(stage)
        return stage

    def _temporary_stage(self, connection: Connection[Any]) -> Stage:
        layout = self.place.layout
        where = sql.Identifier("pg_temp", "stage")
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
        """As the table's, so that a value is judged while it is copied; where text would lose meaning, as ours."""
        existing = self.place.types.get(column.name, column.kind.value)
        if existing.startswith("timestamp") or existing.endswith("[]"):
            existing = column.kind.value
        return sql.SQL(existing)  # out of the catalog, quoted by Postgres

    def _set_common(self, stage: Stage) -> None:
        """As defaults, which COPY fills in by itself."""
        for column in self.place.layout.columns:
            value = self.common.get(column.source) if column.source in BATCH_WIDE else None
            if value is not None:
                self._alter(stage, "ALTER COLUMN {} SET DEFAULT {}", sql.Identifier(column.name), sql.Literal(value))

    def _alter(self, stage: Stage, change: LiteralString, *parts: sql.Composable) -> None:
        stage.connection.execute(sql.SQL("ALTER TABLE {} ").format(stage.where) + sql.SQL(change).format(*parts))

    def _derive(self, stage: Stage) -> None:
        for rule in self.place.layout.derived:
            self._derive_one(stage, rule)

    def _derive_one(self, stage: Stage, rule: Derived) -> None:
        target = self.place.layout.column(rule.target)
        when, value = stage.has(rule.when), stage.has(rule.value)
        if target is None or target.name in stage.given:
            return
        if when is None or value is None:
            log.warning(
                "%s.%s stays empty: the batch has no %s and %s to tell it by.",
                self.place.layout.label, rule.target, rule.when, rule.value,
            )  # fmt: skip
            return
        stage.connection.execute(
            sql.SQL("UPDATE {} SET {} = {}::text::{} WHERE {}::text IN ('true', 't', '1')").format(
                stage.where, sql.Identifier(target.name), value, sql.SQL(self._derived_type(stage, target)), when
            )  # out of the catalog or one of Kind's
        )

    def _derived_type(self, stage: Stage, target: Column) -> str:
        found = stage.connection.execute(
            "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = %s::regclass AND attname = %s",
            (stage.where.as_string(stage.connection), target.name),
        ).fetchone()
        return str(found[0]) if found else target.kind.value

    def _make_unique(self, stage: Stage) -> None:
        """Of rows with the same key only the last one stays."""
        if not self._keyed:
            return
        layout, table = self.place.layout, self.place.table
        if not self.direct:
            # Two syncs of one table take turns from here on; the same keys in another order would deadlock.
            lock = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
            stage.connection.execute(lock, (f"{layout.schema}.{table}",))
            if self._has_twice(stage):
                self._keep_last(stage)
            return
        try:
            with stage.connection.transaction():
                tables.add_key(stage.connection, layout, table)
        except UniqueViolation:
            self._keep_last(stage)
            tables.add_key(stage.connection, layout, table)

    def _remove(self, stage: Stage) -> None:
        """Rows that came as deleted are in neither table afterwards."""
        layout = self.place.layout
        column = layout.column(DELETED_AT)
        deleted = sql.Identifier(column.name if column else DELETED_AT)
        if self._keyed and not self.direct:
            same = sql.SQL(" AND ").join(
                sql.SQL("t.{} = s.{}").format(sql.Identifier(key.name), sql.Identifier(key.name)) for key in layout.keys
            )
            stage.connection.execute(
                sql.SQL("DELETE FROM {} AS t USING {} AS s WHERE {} AND s.{} IS NOT NULL").format(
                    tables.named(layout.schema, self.place.table), stage.where, same, deleted
                )
            )
        stage.connection.execute(sql.SQL("DELETE FROM {} WHERE {} IS NOT NULL").format(stage.where, deleted))

    def _settle(self, stage: Stage) -> None:
        """The stage is the table: nothing stays of what only loading needed."""
        for name in stage.scratch:
            self._alter(stage, "DROP COLUMN {}", sql.Identifier(name))
        for column in self.place.layout.columns:
            if self.common.get(column.source) is not None and column.source in BATCH_WIDE:
                self._alter(stage, "ALTER COLUMN {} DROP DEFAULT", sql.Identifier(column.name))

    def _merge(self, stage: Stage) -> None:
        """From the temporary stage into the table."""
        layout = self.place.layout
        statement = sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} AS s").format(
            tables.named(layout.schema, self.place.table),
            sql.SQL(", ").join(sql.Identifier(column.name) for column in layout.columns),
            sql.SQL(", ").join(self._value(column) for column in layout.columns),
            stage.where,
        )
        stage.connection.execute(statement + self._on_conflict() if self._keyed else statement)

    def _on_conflict(self) -> sql.Composable:
        layout = self.place.layout
        changes = [
            sql.SQL("{} = EXCLUDED.{}").format(sql.Identifier(column.name), sql.Identifier(column.name))
            for column in layout.columns
            if not column.key
        ]
        action = sql.SQL("UPDATE SET {}").format(sql.SQL(", ").join(changes)) if changes else sql.SQL("NOTHING")
        return sql.SQL(" ON CONFLICT ({}) DO {}").format(self._keys(), action)

    def _value(self, column: Column) -> sql.Composable:
        name = sql.Identifier("s", column.name)
        existing = self.place.types.get(column.name, "")
        if column.kind is not Kind.JSONB or not existing.endswith("[]"):
            return name
        elements = "jsonb_array_elements" if existing == "jsonb[]" else "jsonb_array_elements_text"
        return sql.SQL("CASE WHEN jsonb_typeof({}) = 'array' THEN ARRAY(SELECT e FROM {}({}) AS e)::{} END").format(
            name, sql.SQL(elements), name, sql.SQL(existing)
        )  # the type comes out of the catalog, quoted by Postgres

    def _keys(self) -> sql.Composable:
        return sql.SQL(", ").join(sql.Identifier(column.name) for column in self.place.layout.keys)

    def _has_twice(self, stage: Stage) -> bool:
        statement = sql.SQL("SELECT 1 FROM {} GROUP BY {} HAVING count(*) > 1 LIMIT 1")
        return stage.connection.execute(statement.format(stage.where, self._keys())).fetchone() is not None

    def _keep_last(self, stage: Stage) -> None:
        stage.connection.execute(
            sql.SQL(
                "DELETE FROM {} WHERE ctid IN (SELECT at FROM (SELECT ctid AS at, row_number() OVER"
                " (PARTITION BY {} ORDER BY ctid DESC) AS place FROM {}) AS ranked WHERE place > 1)"
            ).format(stage.where, self._keys(), stage.where)
        )
