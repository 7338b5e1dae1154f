"""Tables that COPY fills: where a stream's rows go, and the stage they may stop at on the way."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg import Connection, sql

from target_postgres_copy.batchfiles import Nuls
from target_postgres_copy.layout import Layout
from target_postgres_copy.tables import ColumnType


@dataclass(slots=True)
class Made:
    """Tells a table from another that has got its name. oid: Postgres's number for it."""

    oid: int | None = None


@dataclass(slots=True, kw_only=True)
class Place:
    """Where a stream's rows go; shared by all its batches.

    table:    the identifier: the layout's, or one aside while a table is built anew
    exists:   whether the table is there, or will be when the batches before are done
    growing:  whether this run has made the table and its key is still to come
    decimals: whether whole numbers were found to come as 12.0
    types:    its columns' types, where it existed before
    made:     which table was made aside
    """

    layout: Layout
    table: str
    exists: bool = False
    growing: bool = False
    decimals: bool = False
    types: Mapping[str, ColumnType] = field(default_factory=dict)
    made: Made = field(default_factory=Made)

    @property
    def is_aside(self) -> bool:
        """Whether it is not the stream's own table yet."""
        return self.table != self.layout.table


class Stage:
    """A table that is filled by COPY."""

    def __init__(self, connection: Connection[Any], layout: Layout, where: sql.Identifier, *, fresh: bool) -> None:
        """fresh: the table was made in this transaction and is no temporary one, so rows can be frozen at once."""
        self.connection = connection
        self.layout = layout
        self.where = where
        self.nuls = Nuls()
        self.found_deleted = 0
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

    def has(self, source: str) -> str | None:
        """The column in which a field arrived, if it did."""
        if source in self._scratch:
            return self._scratch[source]
        column = self.layout.column(source)
        return column.name if column is not None and column.name in self.given else None

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
