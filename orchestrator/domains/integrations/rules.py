"""Decisions about integrations: names, selection, catalogs. No clock, no I/O."""

import fnmatch
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import SecretStr

from orchestrator.domains.integrations.types import (
    Destination,
    DisplayStatus,
    Health,
    Integration,
    Mode,
    SetupState,
    Stream,
)
from orchestrator.drivers.postgres_login import Login
from orchestrator.kernel.printable import is_plain

WAREHOUSE = "warehouse"  # the connector, and the name of the destination every organization begins with

_SCHEMA_BYTES = 63  # Postgres cuts longer identifiers; source: PostgreSQL documentation, "Lexical Structure"
_MODES = {"INCREMENTAL": Mode.INCREMENTAL, "FULL_TABLE": Mode.FULL_TABLE, "LOG_BASED": Mode.LOG_BASED}


def display_status(integration: Integration) -> DisplayStatus:
    """The word people see, from set-up, switch and health."""
    if integration.setup_state in {SetupState.DRAFT, SetupState.PENDING_AUTH}:
        return DisplayStatus.CONNECTING
    if integration.setup_state in {SetupState.DISCONNECTED, SetupState.REVOKED} or not integration.enabled:
        return DisplayStatus.DISCONNECTED
    if integration.setup_state is SetupState.NEEDS_REAUTH or integration.health is Health.FAILING:
        return DisplayStatus.NEEDS_ATTENTION
    return DisplayStatus.CONNECTED


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


def schema_problem(schema: str) -> str | None:
    """Why a schema name can't be used; None where it can."""
    if not re.fullmatch(r"[a-z_][a-z0-9_]*", schema):
        return "use lower-case letters, digits and underscores, and start with a letter"
    if len(schema) > _SCHEMA_BYTES:
        return f"{len(schema)} characters are too many, Postgres allows {_SCHEMA_BYTES}"
    if schema.startswith("pg_") or schema in {"public", "information_schema", "orchestrator"}:
        return "this name is reserved"
    return None


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


def entry_key(entry: Mapping[str, Any]) -> str:
    """The name of a catalog entry's stream (source: Singer specification, "Catalog")."""
    return str(entry.get("tap_stream_id") or entry["stream"])


def entry_problem(entry: Mapping[str, Any]) -> str | None:
    """Why a discovered stream can't be kept; None where it can. Its names are whatever somebody named a table."""
    if not is_plain(f"{entry_key(entry)}{entry.get('stream', '')}"):
        return "its name holds control characters"
    if not all(is_plain(name) for name in fields(entry)):
        return "the name of one of its fields holds control characters"
    return None if _is_storable(entry) else "it holds characters that can't be stored"


def _is_storable(value: Any) -> bool:
    """Whether jsonb takes every text within: neither NUL nor half of a character."""
    if isinstance(value, str):
        return "\0" not in value and not any("\ud800" <= char <= "\udfff" for char in value)
    if isinstance(value, Mapping):
        return all(_is_storable(name) and _is_storable(inner) for name, inner in value.items())
    return all(map(_is_storable, value)) if isinstance(value, list) else True


def entry_mode(entry: Mapping[str, Any]) -> Mode:
    """How the tap proposes to read the stream."""
    root = _root(entry)
    forced = root.get("forced-replication-method") or entry.get("replication_method") or root.get("replication-method")
    if isinstance(forced, str) and forced in _MODES:
        return _MODES[forced]
    return Mode.INCREMENTAL if replication_key(entry) else Mode.FULL_TABLE


def replication_key(entry: Mapping[str, Any]) -> str | None:
    """The column changes are told by, where there is one."""
    root = _root(entry)
    valid = root.get("valid-replication-keys") or []
    key = entry.get("replication_key") or root.get("replication-key") or (valid[0] if valid else None)
    return str(key) if key else None


def primary_key(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """The columns that tell records apart; empty where the source names none."""
    keys = entry.get("key_properties") or _root(entry).get("table-key-properties") or []
    return tuple(str(key) for key in keys)


def fields(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """The stream's fields, in the source's order."""
    return tuple(entry.get("schema", {}).get("properties", {}))


def field_inclusion(entry: Mapping[str, Any], name: str) -> str:
    """'automatic' (always read), 'available' or 'unsupported'."""
    for item in entry.get("metadata", []):
        if list(item.get("breadcrumb", [])) == ["properties", name]:
            return str(item.get("metadata", {}).get("inclusion", "available"))
    return "available"


def modes(entry: Mapping[str, Any]) -> tuple[Mode, ...]:
    """Every way this stream can be read."""
    root = _root(entry)
    if root.get("forced-replication-method") in _MODES:
        return (_MODES[root["forced-replication-method"]],)
    found = [Mode.FULL_TABLE]
    if replication_key(entry):
        found.append(Mode.INCREMENTAL)
    if entry_mode(entry) is Mode.LOG_BASED:
        found.append(Mode.LOG_BASED)
    return tuple(found)


def matching(patterns: Sequence[str], names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Which names each pattern fits: exactly, or else without regard to case, `*` and `?` as in a shell."""
    known = tuple(names)
    result: dict[str, tuple[str, ...]] = {}
    for pattern in patterns:
        exact = tuple(name for name in known if name == pattern)
        loose = tuple(name for name in known if fnmatch.fnmatchcase(name.lower(), pattern.lower()))
        result[pattern] = exact or loose
    return result


def aimed_at(
    patterns: Sequence[str], streams: Mapping[str, Stream]
) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[tuple[str, str], ...]]]:
    """What each pattern means: streams where it fits any, else fields of streams, written `stream.field`.

    Names may have dots themselves, so every dot is tried. A pattern that fits nothing is in neither.
    """
    names = {pattern: found for pattern, found in matching(patterns, streams).items() if found}
    aimed: dict[str, tuple[tuple[str, str], ...]] = {}
    for pattern in patterns:
        if pattern not in names and (found := tuple(_fields_aimed_at(pattern, streams))):
            aimed[pattern] = found
    return names, aimed


def _fields_aimed_at(pattern: str, streams: Mapping[str, Stream]) -> Iterator[tuple[str, str]]:
    parts = pattern.split(".")
    for depth in range(1, len(parts)):
        head, tail = ".".join(parts[:depth]), ".".join(parts[depth:])
        for name in matching([head], streams)[head]:
            yield from ((name, field) for field in matching([tail], fields(streams[name].entry))[tail])


def read_fields(stream: Stream) -> tuple[str, ...]:
    """The fields that are read, in the source's order."""
    dropped = set(stream.deselected_fields)
    return tuple(
        name
        for name in fields(stream.entry)
        if name not in dropped and field_inclusion(stream.entry, name) != "unsupported"
    )


def run_catalog(streams: Iterable[Stream]) -> dict[str, Any]:
    """The Singer catalog of a run: these streams only, all marked selected, fields as chosen."""
    return {"streams": [_selected_entry(stream) for stream in streams]}


def reason_in(body: bytes) -> str:
    """What a provider says of a refusal in a JSON answer; empty where it says nothing we know how to find.

    source: Salesforce REST ([{message, errorCode}]), OAuth (error, error_description), GitHub (message)
    """
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    answer = answer[0] if isinstance(answer, list) and answer else answer
    if not isinstance(answer, dict):
        return ""
    words = [answer.get(key) for key in ("errorCode", "error", "error_description", "message")]
    return ": ".join(word for word in words if isinstance(word, str))[:_REASON_LENGTH]


_REASON_LENGTH = 300


def _selected_entry(stream: Stream) -> dict[str, Any]:
    entry = {key: value for key, value in stream.entry.items() if key != "metadata"}
    method = stream.mode.value.upper()
    entry["replication_method"] = method
    key = replication_key(stream.entry) if stream.mode is Mode.INCREMENTAL else None
    entry["replication_key"] = key
    root = {**_root(stream.entry), "selected": True, "replication-method": method}
    if key:
        root["replication-key"] = key
    dropped = set(stream.deselected_fields)
    metadata = [{"breadcrumb": [], "metadata": root}]
    for item in stream.entry.get("metadata", []):
        breadcrumb = list(item.get("breadcrumb", []))
        if breadcrumb:
            values = dict(item.get("metadata", {}))
            automatic = values.get("inclusion") == "automatic"
            chosen = breadcrumb[1] not in dropped and values.get("inclusion") != "unsupported"
            metadata.append({"breadcrumb": breadcrumb, "metadata": {**values, "selected": automatic or chosen}})
    entry["metadata"] = metadata
    return entry


def _root(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    for item in entry.get("metadata", []):
        if not item.get("breadcrumb"):
            found = item.get("metadata", {})
            return found if isinstance(found, Mapping) else {}
    return {}
