"""What the entries of a Singer catalog say of streams and their fields."""

from collections.abc import Mapping
from typing import Any

from orchestrator.domains.integrations.types import Mode
from orchestrator.kernel.printable import is_plain

_MODES = {"INCREMENTAL": Mode.INCREMENTAL, "FULL_TABLE": Mode.FULL_TABLE, "LOG_BASED": Mode.LOG_BASED}


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
    root = about_stream(entry)
    forced = root.get("forced-replication-method") or entry.get("replication_method") or root.get("replication-method")
    if isinstance(forced, str) and forced in _MODES:
        return _MODES[forced]
    return Mode.INCREMENTAL if replication_key(entry) else Mode.FULL_TABLE


def replication_key(entry: Mapping[str, Any]) -> str | None:
    """The column changes are told by, where there is one."""
    root = about_stream(entry)
    valid = root.get("valid-replication-keys") or []
    key = entry.get("replication_key") or root.get("replication-key") or (valid[0] if valid else None)
    return str(key) if key else None


def primary_key(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """The columns that tell records apart; empty where the source names none."""
    keys = entry.get("key_properties") or about_stream(entry).get("table-key-properties") or []
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
    root = about_stream(entry)
    if root.get("forced-replication-method") in _MODES:
        return (_MODES[root["forced-replication-method"]],)
    found = [Mode.FULL_TABLE]
    if replication_key(entry):
        found.append(Mode.INCREMENTAL)
    if entry_mode(entry) is Mode.LOG_BASED:
        found.append(Mode.LOG_BASED)
    return tuple(found)


def about_stream(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """The metadata of the stream itself, and not of one of its fields."""
    for item in entry.get("metadata", []):
        if not item.get("breadcrumb"):
            found = item.get("metadata", {})
            return found if isinstance(found, Mapping) else {}
    return {}
