"""How names of the source become Postgres identifiers; see "Names" in the README."""

import hashlib
from collections.abc import Iterable
from typing import Final

LIMIT: Final = 63  # bytes; source: Postgres, NAMEDATALEN - 1
_SYSTEM: Final = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})  # Postgres refuses these as columns


def identifier(name: str) -> str:
    """The name itself where Postgres can hold it; otherwise its beginning and a hash of all of it."""
    clean = "".join(letter for letter in name if letter != "\0" and not "\ud800" <= letter <= "\udfff")
    if clean == name and 0 < len(name.encode()) <= LIMIT and name not in _SYSTEM:
        return name
    return _hashed(clean, name)


def distinct(names: Iterable[str]) -> dict[str, str]:
    """Name → identifier, no identifier twice: names that need no change keep theirs, others make way."""
    found = {name: identifier(name) for name in names}
    taken = {name for name, own in found.items() if own == name}
    for name, own in found.items():
        if own == name:
            continue
        salted, free = name, own
        while free in taken:
            salted += "\0"
            free = _hashed(own, salted)
        found[name] = free
        taken.add(free)
    return found


def place(stream: str, default_schema: str | None) -> tuple[str, str]:
    """Schema and table of a stream: as meltanolabs' target-postgres, "schema-table" is cut at the last dash.

    source: target_postgres.sinks.PostgresSink.schema_name, singer_sdk.sql.SQLSink.table_name
    """
    parts = stream.split("-")
    named = parts[-2] if len(parts) in {2, 3} else "public"
    return identifier(default_schema or named), identifier(parts[-1] if len(parts) > 1 else stream)


def aside(table: str) -> str:
    """Where the next content of an overwritten table is built."""
    return _hashed(table, f"{table}\0next")


def _hashed(head: str, name: str) -> str:
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    short = head.encode()[: LIMIT - 9].decode(errors="ignore")
    return f"{short}_{digest}"
