"""The warehouse that everybody loads into: its tables made, compared with the source, and dropped again."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final
from uuid import uuid4

import psycopg
from psycopg import sql

from bench.lab.stage import Stage
from bench.salesforce.source import Source

_CAREFUL: Final = 200_000  # records
_COLUMNS: Final = """
SELECT attname, format_type(atttypid, NULL) FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
JOIN pg_namespace n ON n.oid = relnamespace
WHERE nspname = %s AND relname = %s AND attnum > 0 AND NOT attisdropped
"""
_KEYED: Final = """
SELECT 1 FROM pg_index JOIN pg_class c ON c.oid = indrelid JOIN pg_namespace n ON n.oid = relnamespace
WHERE nspname = %s AND relname = %s AND indisprimary
"""
# As target-postgres-copy has them: the limit's table looks like what we load.
METADATA: Final[Mapping[str, str]] = {
    "_sdc_extracted_at": "timestamp with time zone DEFAULT now()",
    "_sdc_received_at": "timestamp with time zone DEFAULT now()",
    "_sdc_batched_at": "timestamp with time zone DEFAULT now()",
    "_sdc_deleted_at": "timestamp with time zone",
    "_sdc_sequence": "bigint DEFAULT 1",
    "_sdc_table_version": "bigint",
    "_sdc_sync_started_at": "bigint DEFAULT 1",
}


class WrongEndError(Exception):
    """A pipeline did not leave behind what the source holds; its figures would mean nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """What a pipeline left behind.

    differing:  columns whose values are not the source's, or that are missing
    keyed:      whether the table has a primary key
    """

    rows: int
    differing: tuple[str, ...]
    keyed: bool


class Warehouse:
    """The Postgres of the stage, by the loader's own login."""

    def __init__(self, at: Stage) -> None:
        server = at.drivers.postgres.start()
        self.url = at.drivers.warehouse_url.get_secret_value()
        self.dsn = _plain(self.url)
        self._connection = psycopg.connect(self.dsn, autocommit=True, options="-c timezone=UTC -c jit=off")
        self._operator = psycopg.connect(_plain(server.url("orchestrator").get_secret_value()), autocommit=True)
        self.pid = at.drivers.postgres.status().pid or 0
        self._schema = f"bench_expected_{uuid4().hex[:8]}"
        self._expected: dict[str, tuple[int, Decimal]] = {}

    def close(self) -> None:
        """Forget what was expected, and end our own connections."""
        self.drop(self._schema)
        self._connection.close()
        self._operator.close()

    def drop(self, schema: str) -> None:
        """Remove what a run made."""
        self._connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))

    def level(self) -> None:
        """Write out what the run before left in memory, so that the next one does not pay for it."""
        self._operator.execute("CHECKPOINT")

    def expect(self, source: Source) -> None:
        """Remember what the source holds, as text; read by Python's own csv where that does not take too long."""
        self.drop(self._schema)
        table = sql.Identifier(self._schema, source.name)
        columns = sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(name)) for name in source.fields)
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(self._schema)))
            cursor.execute(sql.SQL("CREATE TABLE {} ({})").format(table, columns))
            if source.rows <= _CAREFUL:
                with cursor.copy(sql.SQL("COPY {} FROM STDIN WITH (FREEZE)").format(table)) as copy:
                    for record in source.records():
                        copy.write_row([value.replace("\0", "") or None for value in record])
            for page in source.pages() if source.rows > _CAREFUL else ():
                names = sql.SQL(", ").join(sql.Identifier(name) for name in source.fields)
                options = sql.SQL("FORMAT csv, HEADER, FREEZE, FORCE_NULL ({})").format(names)
                with cursor.copy(sql.SQL("COPY {} FROM STDIN WITH ({})").format(table, options)) as copy:
                    copy.write(page)
        self._expected[source.name] = self._sums(table, dict.fromkeys(source.fields, "text"), source.fields)

    def end(self, source: Source, schema: str, table: str) -> End:
        """What is in the table, compared with the source. WrongEndError where there is none."""
        found = {str(name): str(kind) for name, kind in self._connection.execute(_COLUMNS, (schema, table)).fetchall()}
        if not found:
            raise WrongEndError(f"There is no table {schema}.{table}.")
        names = {_folded(name): name for name in found}
        columns = {field: names[_folded(field)] for field in source.fields if _folded(field) in names}
        where, types = sql.Identifier(schema, table), {field: found[column] for field, column in columns.items()}
        keyed = bool(self._connection.execute(_KEYED, (schema, table)).fetchone())
        missing = [field for field in source.fields if field not in columns]
        try:
            rows, total = self._sums(where, types, source.fields, columns)
            if not missing and (rows, total) == self._expected[source.name]:
                return End(rows=rows, differing=(), keyed=keyed)
        except psycopg.Error:
            rows = self._count(where)
        differing = [field for field in columns if not self._same(source, where, field, columns, types)]
        return End(rows=rows, differing=(*missing, *differing), keyed=keyed)

    def _count(self, where: sql.Composable) -> int:
        row = self._connection.execute(sql.SQL("SELECT count(*) FROM {}").format(where)).fetchone()
        return int(row[0]) if row else 0

    def _same(
        self,
        source: Source,
        where: sql.Composable,
        field: str,
        columns: Mapping[str, str],
        types: Mapping[str, str],
    ) -> bool:
        """One column beside the key; False where its values cannot even be read as what they should be."""
        some = {name: source.fields[name] for name in dict.fromkeys(("Id", field))}
        text = dict.fromkeys(some, "text")
        expected = self._sums(sql.Identifier(self._schema, source.name), text, some)
        try:
            return expected == self._sums(where, types, some, columns)
        except (psycopg.Error, KeyError):
            return False

    def _sums(
        self,
        where: sql.Composable,
        types: Mapping[str, str],
        wanted: Mapping[str, str],
        columns: Mapping[str, str] | None = None,
    ) -> tuple[int, Decimal]:
        """Rows, and the sum of their hashes: the same for the same values in whatever order and type."""
        values = [
            _read_as(kind, types[field], sql.Identifier(columns[field] if columns else field))
            for field, kind in wanted.items()
            if field in types
        ]
        statement = sql.SQL("SELECT count(*), coalesce(sum(hashtextextended(ROW({})::text, 0)), 0) FROM {}")
        row = self._connection.execute(statement.format(sql.SQL(", ").join(values), where)).fetchone()
        assert row is not None
        return int(row[0]), Decimal(row[1])


def _read_as(kind: str, existing: str, column: sql.Composable) -> sql.Composable:
    """The value as text that is the same however a pipeline chose to store it."""
    value = column if existing == kind else sql.SQL("nullif({}::text, '')::{}").format(column, sql.SQL(kind))
    if kind in {"numeric", "bigint"}:
        return sql.SQL("trim_scale({}::numeric)").format(value)
    if kind == "date" and existing != kind:
        return sql.SQL("nullif({}::text, '')::timestamp::date").format(column)
    return value


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _plain(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


def limit_statements(source: Source, schema: str) -> dict[str, str]:
    """What makes the limit's table, fills it and finishes it: columns, key and marks of deletion as ours has them."""
    table = f'"{schema}"."{source.name}"'
    names = [f'"{name}"' for name in source.fields]
    columns = [f'"{name}" {kind}' for name, kind in source.fields.items()]
    columns += [f'"{name}" {kind}' for name, kind in METADATA.items()]
    listed = ", ".join(names)
    mark = f'UPDATE {table} SET "_sdc_deleted_at" = "SystemModstamp" WHERE "IsDeleted"'  # noqa: S608 - our own names
    return {
        "make": f'CREATE SCHEMA "{schema}"; CREATE TABLE {table} ({", ".join(columns)})',
        "copy": f"COPY {table} ({listed}) FROM STDIN WITH (FORMAT csv, HEADER, FORCE_NULL ({listed}))",
        "key": f'ALTER TABLE {table} ADD PRIMARY KEY ("Id"); {mark}',
    }
