"""Is the table the source? Every row of both by a hash of all its values, and deletions marked."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2b
from typing import Any

from pydantic import SecretStr
from sqlalchemy import text

from orchestrator.kernel.db import engine
from sandboxes.salesforce import LocalOrg
from sandboxes.salesforce.schema import NUMBERS

_SQL = {
    "datetime": 'to_char({0}, \'YYYY-MM-DD"T"HH24:MI:SS.MS"+0000"\')',
    "boolean": "{0}::int::text",
    "time": "to_char({0} + date '2000-01-01', 'HH24:MI:SS.MS')",
    **dict.fromkeys(NUMBERS, "trim_scale({0})::text"),
}


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Ids that are in one only, or with other values; all empty where the table is the source."""

    missing: list[str]
    extra: list[str]
    differing: list[str]
    unmarked: list[str]

    def __bool__(self) -> bool:
        return bool(self.missing or self.extra or self.differing or self.unmarked)


@dataclass(frozen=True, kw_only=True)
class Contents:
    """A source's ledger and the table it went into: id → hash of all values; and which are deleted, or marked so."""

    source: Mapping[str, bytes]
    table: Mapping[str, bytes]
    deleted: frozenset[str] = frozenset()
    marked: frozenset[str] = frozenset()

    @property
    def difference(self) -> Difference:
        """How the table differs from the source."""
        source, table = self.source, self.table
        return Difference(
            missing=sorted(source.keys() - table.keys()),
            extra=sorted(table.keys() - source.keys()),
            differing=sorted(key for key in source.keys() & table.keys() if source[key] != table[key]),
            unmarked=sorted(self.deleted ^ self.marked),
        )


def difference(org: LocalOrg, warehouse: SecretStr, schema: str, name: str) -> Difference:
    """How the table differs from the object, deleted records included."""
    return contents(org, warehouse, schema, name).difference


def contents(org: LocalOrg, warehouse: SecretStr, schema: str, name: str) -> Contents:
    """Both as they are now, in the columns the table has; one that isn't there has no rows."""
    pool = engine(warehouse)
    try:
        with pool.connect() as connection:
            there = connection.execute(
                text("SELECT column_name FROM information_schema.columns WHERE table_schema = :s AND table_name = :t"),
                {"s": schema, "t": name},
            )
            columns = set(there.scalars())
            if not columns:
                ids = {row[0]: b"" for row in org.store.rows(f'SELECT "Id" FROM "{name}"')}
                return Contents(source=ids, table={})
            fields = [one for one in org.store.sobjects[name].columns if one.name in columns]
            assert {"Id", "SystemModstamp"} <= {one.name for one in fields}, f"no table {schema}.{name}: {columns}"
            shown = ", ".join(_SQL.get(one.type, "{0}::text").format(f'"{one.name}"') for one in fields)
            rows = connection.execution_options(stream_results=True).execute(
                text(f'SELECT "Id", "_sdc_deleted_at" IS NOT NULL, {shown} FROM "{schema}"."{name}"')
            )
            table, marked = {}, set()
            for key, deleted, *values in rows:
                table[key] = _hash(values)
                if deleted:
                    marked.add(key)
    finally:
        pool.dispose()
    listing = ", ".join(f'"{one.name}"' for one in fields)
    source, deleted_there = {}, set()
    types = [one.type for one in fields]
    for key, gone, *values in org.store.rows(f'SELECT "Id", "IsDeleted", {listing} FROM "{name}"'):
        source[key] = _hash([_plain(kind, value) for kind, value in zip(types, values, strict=True)])
        if gone:
            deleted_there.add(key)
    return Contents(source=source, table=table, deleted=frozenset(deleted_there), marked=frozenset(marked))


def _plain(kind: str, value: Any) -> str | None:
    if value is None or value == "":
        return None
    if kind in NUMBERS:
        number = Decimal(str(value)).normalize()
        return format(number or Decimal(0), "f")
    if kind == "time":
        return str(value).removesuffix("Z")
    return str(value)


def _hash(values: list[str | None]) -> bytes:
    return blake2b(repr(values).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def moment(value: str) -> datetime:
    """A bookmark's time."""
    return datetime.fromisoformat(value).astimezone(UTC)
