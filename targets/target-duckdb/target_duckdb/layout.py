"""What a stream's rows look like in DuckDB: columns in order, keys, and what is derived."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from target_duckdb import names
from target_duckdb.errors import MessageError
from target_duckdb.kinds import Kind, kind_of

DELETED_AT: Final = "_sdc_deleted_at"
EXTRACTED_AT: Final = "_sdc_extracted_at"
SEQUENCE: Final = "_sdc_sequence"
VERSION: Final = "_sdc_table_version"
MARKS: Final = frozenset({"IsDeleted", "SystemModstamp", "LastModifiedDate"})  # what else says that a record is gone
# Filled by us; source: singer_sdk.sinks.core.Sink._add_sdc_metadata_to_record
OURS: Final = (EXTRACTED_AT, "_sdc_received_at", "_sdc_batched_at", SEQUENCE, VERSION, "_sdc_sync_started_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """source: the property's name; name: the identifier."""

    source: str
    name: str
    kind: Kind
    key: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """Property `target` is the value of field `value` where field `when` is true; only for CSV files."""

    target: str
    when: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """columns: all of the table that we know, metadata included."""

    stream: str
    table: str
    columns: tuple[Column, ...]
    derived: tuple[Derived, ...]

    @property
    def keys(self) -> tuple[Column, ...]:
        """The key's columns; none if rows can only be added."""
        return tuple(column for column in self.columns if column.key)

    def from_source(self) -> tuple[Column, ...]:
        """The columns that records fill."""
        return tuple(column for column in self.columns if column.source not in OURS)

    def is_tombstone(self, record: Mapping[str, Any]) -> bool:
        """Whether a record says no more than that it is gone: its key, when it was deleted, and other marks."""
        if record.get(DELETED_AT) is None or not self.keys or not any(c.source == DELETED_AT for c in self.columns):
            return False
        keys = {column.source for column in self.keys}
        said = all(name in keys or is_mark(name) for name in record)
        return said and not {c.source for c in self.from_source() if not c.source.startswith("_sdc_")} <= set(record)


def is_mark(name: str) -> bool:
    """Whether a tombstone may have it."""
    return name in MARKS or name.startswith("_sdc_")


def arrange(stream: str, schema: Mapping[str, Any], keys: Sequence[str]) -> Layout:
    """The layout of a stream; MessageError if the SCHEMA makes no sense."""
    properties = schema["properties"]
    missing = [key for key in keys if key not in properties]
    if missing:
        raise MessageError(
            f"The key of {stream} is not among its properties: {', '.join(missing)}.",
            hint="Select the key's fields in the catalog.",
        )
    identifiers = names.distinct(properties)
    columns = tuple(
        Column(source=name, name=identifiers[name], kind=kind_of(facts), key=name in keys)
        for name, facts in properties.items()
    )
    derived = tuple(
        Derived(target=name, when=str(rule["when"]), value=str(rule["value"]))
        for name, facts in properties.items()
        if isinstance(facts, Mapping) and isinstance(rule := facts.get("x-derived"), Mapping)
    )
    return Layout(stream=stream, table=names.identifier(stream), columns=columns, derived=derived)
