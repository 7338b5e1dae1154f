"""What a stream's rows look like in Postgres: columns in order, keys, and what is derived."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from target_postgres_copy import names
from target_postgres_copy.errors import MessageError
from target_postgres_copy.kinds import Kind, kind_of

DELETED_AT: Final = "_sdc_deleted_at"
VERSION: Final = "_sdc_table_version"
EXTRACTED_AT: Final = "_sdc_extracted_at"
MARKS: Final = frozenset({"IsDeleted", "SystemModstamp", "LastModifiedDate"})  # what else says that a record is gone
# Filled by us, the same for a whole batch; source: singer_sdk.sinks.core.Sink._add_sdc_metadata_to_record
BATCH_WIDE: Final = (
    EXTRACTED_AT,
    "_sdc_received_at",
    "_sdc_batched_at",
    "_sdc_sequence",
    VERSION,
    "_sdc_sync_started_at",
)


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
    schema: str
    table: str
    columns: tuple[Column, ...]
    derived: tuple[Derived, ...]

    @property
    def keys(self) -> tuple[Column, ...]:
        """The key's columns; none if rows can only be added."""
        return tuple(column for column in self.columns if column.key)

    @property
    def label(self) -> str:
        """The table as messages show it."""
        return f"{self.schema}.{self.table}"

    def column(self, source: str) -> Column | None:
        """The column of a property."""
        return next((column for column in self.columns if column.source == source), None)

    def from_source(self) -> tuple[Column, ...]:
        """The columns that records fill."""
        return tuple(column for column in self.columns if column.source not in BATCH_WIDE)


def arrange(stream: str, schema: Mapping[str, Any], keys: Sequence[str], *, default_schema: str | None) -> Layout:
    """The layout of a stream; MessageError if the SCHEMA makes no sense."""
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or not properties:
        raise MessageError(f"The SCHEMA of {stream} has no properties.", hint="See the tap's own log.")
    missing = [key for key in keys if key not in properties]
    if missing:
        raise MessageError(
            f"The key of {stream} is not among its properties: {', '.join(missing)}.",
            hint="Select the key's fields in the catalog.",
        )
    identifiers = names.distinct(properties)
    place, table = names.place(stream, default_schema)
    columns = tuple(
        Column(source=name, name=identifiers[name], kind=kind_of(facts), key=name in keys)
        for name, facts in properties.items()
    )
    return Layout(stream=stream, schema=place, table=table, columns=columns, derived=tuple(_derived(properties)))


def _derived(properties: Mapping[str, Any]) -> list[Derived]:
    return [
        Derived(target=name, when=str(rule["when"]), value=str(rule["value"]))
        for name, facts in properties.items()
        if isinstance(facts, Mapping) and isinstance(rule := facts.get("x-derived"), Mapping)
    ]
