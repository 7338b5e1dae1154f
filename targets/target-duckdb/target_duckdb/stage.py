"""A batch on its way: all its files as text in a temporary table, in the order they came, and how to read it typed."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from duckdb import DuckDBPyConnection

from target_duckdb import files
from target_duckdb.errors import DamagedBatchError, MessageError
from target_duckdb.files import NULL, TOMBSTONE, BatchFile, RecordFile
from target_duckdb.kinds import Kind, inexact
from target_duckdb.layout import EXTRACTED_AT, OURS, VERSION, Column, Layout
from target_duckdb.names import literal, quoted
from target_duckdb.spelling import misread

log: Final = logging.getLogger("target-duckdb")
_TABLE: Final = "temp.stage"
_LONGEST_ROW: Final = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file of CSV with a header.

    fields:    what its columns are, in order
    null:      what stands for null
    announced: how many rows it has, if that is known
    """

    file: BatchFile
    fields: Sequence[str]
    compression: str = "none"
    null: str = NULL
    announced: int | None = None

    @classmethod
    def of(cls, records: RecordFile) -> Self:
        """Records that were written by us."""
        records.finish()
        return cls(file=records.file, fields=records.fields, announced=records.count)


class Stage:
    """Filled from files, then read by `select`.

    types:  column → type it is read as
    common: metadata column → value, for all rows
    given:  the fields that came
    """

    def __init__(
        self,
        connection: DuckDBPyConnection,
        layout: Layout,
        types: dict[str, str],
        common: Mapping[str, object],
    ) -> None:
        self.connection = connection
        self.layout = layout
        self.types = types
        self.given: set[str] = set()
        self._common = common
        known = [column.source for column in layout.from_source()]
        known += [name for rule in layout.derived for name in (rule.when, rule.value)]
        self._at = {name: f"c{at}" for at, name in enumerate(dict.fromkeys([*known, EXTRACTED_AT, VERSION, TOMBSTONE]))}
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE stage ({', '.join(f'{at} VARCHAR' for at in self._at.values())})"
        )

    def fill(self, source: Source) -> int:
        """Take a file in; the number of its rows. DamagedBatchError if other than announced, or of nothing we know."""
        used = [(at, self._at[name]) for at, name in enumerate(source.fields) if name in self._at]
        if source.fields and not used:
            raise DamagedBatchError(
                f"A batch file of {self.layout.stream} has no column that is in its schema.",
                hint="Discover the streams again, then sync; see the tap's own log.",
            )
        rows = 0
        if used:
            columns = ", ".join(f"'f{at}': 'VARCHAR'" for at in range(len(source.fields)))
            with source.file.opened() as number:  # whatever has the file's name meanwhile, and nothing is a pattern
                [(rows,)] = self.connection.execute(
                    f"INSERT INTO {_TABLE} ({', '.join(name for _, name in used)})"
                    f" SELECT {', '.join(f'f{at}' for at, _ in used)} FROM read_csv('/dev/fd/{number}',"
                    f" columns = {{{columns}}}, header = true, compression = {literal(source.compression)},"
                    f" nullstr = {literal(source.null)}, delim = ',', quote = '\"', escape = '\"', auto_detect = false,"
                    f" max_line_size = {_LONGEST_ROW})"
                ).fetchall()
        if source.announced is not None and rows != source.announced:
            raise files.other_count(self.layout.stream, rows, source.announced)
        self.given.update(source.fields)
        return int(rows)

    def drop(self) -> None:
        """Forget all."""
        self.connection.execute(f"DROP TABLE IF EXISTS {_TABLE}")

    # ---- how it is read

    def type(self, column: Column) -> str:
        """The type that a column is read as."""
        return self.types[column.name]

    def value(self, column: Column) -> str:
        """A column's value as an expression."""
        type_, text = self.type(column), self.text(column)
        if type_ == "TIMESTAMP":  # by itself it would leave the offset out
            text = f"CAST({text} AS {Kind.TIMESTAMP.value})"
        return f"CAST({text} AS {type_})"

    def text(self, column: Column) -> str:
        """The same before it gets its type."""
        source = column.source
        if source in OURS:
            value = self._common.get(source)
            same = "NULL" if value is None else literal(str(value))
            return f"coalesce({self._at[source]}, {same})" if source in {EXTRACTED_AT, VERSION} else same
        rule = next((rule for rule in self.layout.derived if rule.target == source), None)
        if rule is not None and source not in self.given:
            return f"CASE WHEN lower({self._at[rule.when]}) IN ('true', 't', '1') THEN {self._at[rule.value]} END"
        return self._at[source]

    @property
    def keys(self) -> str:
        """The key's values, comma-separated."""
        return ", ".join(f"{self.value(key)} AS k{at}" for at, key in enumerate(self.layout.keys))

    @property
    def tombstone(self) -> str:
        """True where a row is a tombstone."""
        return f"({self._at[TOMBSTONE]} IS NOT NULL)"

    def select(self, where: str = "true") -> str:
        """The typed rows, as the layout names its columns."""
        columns = ", ".join(f"{self.value(column)} AS {quoted(column.name)}" for column in self.layout.columns)
        return f"SELECT {columns} FROM {_TABLE} WHERE {where}"

    def last(self, among: str = "true") -> str:
        """A condition: of all rows `among` these with the same key, this one came last."""
        by = ", ".join(f"k{at}" for at in range(len(self.layout.keys)))
        if not self._twice(among, by):
            return among
        newest = (
            f"SELECT max(place) FROM (SELECT rowid AS place, {self.keys} FROM {_TABLE} WHERE {among}) GROUP BY {by}"
        )
        return f"rowid IN ({newest})"

    def _twice(self, among: str, by: str) -> bool:
        keys = f"(SELECT {self.keys} FROM {_TABLE} WHERE {among})"
        return bool(
            self.connection.execute(f"SELECT 1 FROM {keys} GROUP BY {by} HAVING count(*) > 1 LIMIT 1").fetchone()
        )

    # ---- what is wrong with it

    def check_keys(self) -> None:
        """MessageError where a row has no key."""
        missing = [key for key in self.layout.keys if self._any(f"{self.text(key)} IS NULL")]
        if missing:
            names = ", ".join(key.source for key in missing)
            raise MessageError(f"A record of {self.layout.stream} has no {names}, which is its key.")

    def has_tombstones(self) -> bool:
        """Whether there are any."""
        return TOMBSTONE in self.given and self._any(self.tombstone)

    def rounded(self) -> list[Column]:
        """The columns that hold a number which its type would round."""
        return self._columns_where({
            column: condition
            for column in self.layout.from_source()
            if column.kind in {Kind.BIGINT, Kind.DECIMAL}
            and self.type(column) in set(Kind)
            and (condition := inexact(Kind(self.type(column)), self.text(column)))
        })  # fmt: skip

    def misread(self, doubles: Sequence[Column] = ()) -> list[Column]:
        """The columns that hold a text which DuckDB would take for something else. doubles: will become DOUBLE."""
        return self._columns_where({
            column: condition
            for column in self.layout.from_source()
            if (condition := misread(Kind.DOUBLE if column in doubles else self.type(column), self.text(column)))
        })  # fmt: skip

    def misfits(self) -> list[Column]:
        """The columns that hold a text which is none of its type."""
        return self._columns_where({
            column: f"{self.text(column)} IS NOT NULL AND TRY_CAST({self.text(column)} AS {self.type(column)}) IS NULL"
            for column in self.layout.columns
        })  # fmt: skip

    def _columns_where(self, conditions: Mapping[Column, str]) -> list[Column]:
        if not conditions:
            return []
        counts = ", ".join(f"count(*) FILTER (WHERE {condition})" for condition in conditions.values())
        found = self.connection.execute(f"SELECT {counts} FROM {_TABLE}").fetchall()[0]
        return [column for column, count in zip(conditions, found, strict=True) if count]

    def _any(self, condition: str) -> bool:
        return self.connection.execute(f"SELECT 1 FROM {_TABLE} WHERE {condition} LIMIT 1").fetchone() is not None


def batch_sources(
    layout: Layout, batch: Sequence[BatchFile], encoding: str, compression: str | None, counts: Sequence[int]
) -> list[Source]:
    """The files of a BATCH message of CSV, their headers read."""
    if encoding != "csv" or compression not in {"gzip", "none", None}:
        raise MessageError(
            f"Batch files of {layout.stream} are {encoding} packed with {compression}.", hint="Use csv or jsonl."
        )
    packed = compression or "none"
    headers = [files.header(file, packed) for file in batch]
    known = {column.source for column in layout.columns}
    known.update(name for rule in layout.derived for name in (rule.when, rule.value))
    if unknown := sorted({name for fields in headers for name in fields} - known):
        log.warning("%s: not in the schema, so left out: %s", layout.stream, ", ".join(unknown))
    return [
        Source(
            file=file,
            fields=headers[at],
            compression=packed,
            null="",
            announced=counts[at] if counts else None,
        )
        for at, file in enumerate(batch)
    ]
