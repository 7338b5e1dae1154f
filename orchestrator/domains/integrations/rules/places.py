"""Names and places: what an integration and its schema may be called, and where records go."""

import re
from collections.abc import Collection, Iterable, Mapping
from hashlib import sha256
from typing import Any

from pydantic import SecretStr

from orchestrator.domains.integrations.types import Destination
from orchestrator.drivers.postgres_login import Login
from orchestrator.kernel.printable import is_plain

WAREHOUSE = "warehouse"  # the connector, and the name of the destination every organization begins with

SCRATCH = "__dry_run"  # how scratch schemas end

_SCHEMA_BYTES = 63  # Postgres cuts longer identifiers; source: PostgreSQL documentation, "Lexical Structure"


def schema_name(name: str, taken: Iterable[str], *, mark: str = "") -> str:
    """A readable Postgres schema name for an integration's tables, none of `taken`.

    mark:  up to 4 letters and digits that set it apart from names nobody here may know of; a number would count them
    """
    words = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "integration"
    if words[0].isdigit() or words.startswith("pg_"):
        words = f"s_{words}"
    words = words[: _SCHEMA_BYTES - 10].rstrip("_")
    used = set(taken)
    words = f"{words}_{mark}" if mark else words
    candidates = [words, *(f"{words}_{number}" for number in range(2, len(used) + 3))]
    return next(candidate for candidate in candidates if candidate not in used)


def scratch_name(schema: str) -> str:
    """The scratch schema beside an integration's own: no integration may have such a name."""
    if len(schema) + len(SCRATCH) > _SCHEMA_BYTES:
        mark = f"_{sha256(schema.encode()).hexdigest()[:8]}"
        schema = schema[: _SCHEMA_BYTES - len(SCRATCH) - len(mark)] + mark
    return schema + SCRATCH


def schema_problem(schema: str) -> str | None:
    """Why a schema name can't be used; None where it can."""
    if not re.fullmatch(r"[a-z_][a-z0-9_]*", schema):
        return "use lower-case letters, digits and underscores, and start with a letter"
    if len(schema) > _SCHEMA_BYTES:
        return f"{len(schema)} characters are too many, Postgres allows {_SCHEMA_BYTES}"
    if schema.startswith("pg_") or schema in {"public", "information_schema", "orchestrator"}:
        return "this name is reserved"
    return f"names that end with {SCRATCH} are for dry runs" if schema.endswith(SCRATCH) else None


def name_problem(name: str) -> str | None:
    """Why an integration can't have this name; None where it can."""
    if not name.strip():
        return "give it a name"
    if len(name) > 100:  # noqa: PLR2004 - said in the sentence
        return "at most 100 characters"
    if not is_plain(name) or name != name.strip():
        return "no line breaks or other control characters, and no blanks at the ends"
    if name.startswith(("int_", "-")):
        return "it can't start with 'int_' or '-'"
    return None


def is_built_in(destination: Destination) -> bool:
    """Whether records go to this installation's own warehouse, and not to a server somebody named."""
    connection = destination.config.get("connection") or {}
    return destination.type == WAREHOUSE and connection.get("server", "built_in") == "built_in"


def login_of(destination_type: str, config: Mapping[str, Any], secrets: Mapping[str, SecretStr]) -> Login | None:
    """Who signs in to a Postgres that somebody named as a destination; None for any other destination."""
    named = config.get("connection") or {}
    if destination_type != WAREHOUSE or named.get("server", "built_in") == "built_in":
        return None
    tls = named.get("tls") or {}
    return Login(
        host=named["host"],
        port=named["port"],
        database=named["database"],
        user=named["user"],
        password=secrets["connection.password"],
        tls=tls.get("mode", "prefer"),
        authority=tls.get("certificate_authority"),
    )


def table_of(stream: str, *, cut_at: int | None) -> str:
    """The table a warehouse's loader writes a stream to, within the integration's own schema.

    It takes `schema-table` for a table of that schema, and ours takes the schema's place: what stands before the last
    dash is lost. source: target_postgres.sinks.PostgresSink.schema_name, singer_sdk.sql.SQLSink.table_name
    cut_at:  bytes of the name that are left of it; None: the loader has a way to tell long names apart
    """
    return stream.rpartition("-")[2].encode()[:cut_at].decode(errors="ignore")


def in_one_table(
    destination: Destination, streams: Collection[str], beside: Iterable[str] = (), *, cut_at: int | None
) -> tuple[str, ...]:
    """The first of these streams that would be loaded over each other, or over one beside them; else empty.

    cut_at:  as in `table_of`
    """
    by_table: dict[str, list[str]] = {}
    for stream in dict.fromkeys((*streams, *beside)):
        place = table_of(stream, cut_at=cut_at) if destination.type == WAREHOUSE else stream
        by_table.setdefault(place, []).append(stream)
    return next((tuple(found) for found in by_table.values() if len(found) > 1 and found[0] in streams), ())
