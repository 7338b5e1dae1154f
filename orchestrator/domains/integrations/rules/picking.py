"""Which streams and fields are meant, and the catalog of a run that reads them."""

import fnmatch
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from orchestrator.domains.integrations.rules.entries import about_stream, field_inclusion, fields, replication_key
from orchestrator.domains.integrations.types import Mode, Stream


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


def _selected_entry(stream: Stream) -> dict[str, Any]:
    entry = {key: value for key, value in stream.entry.items() if key != "metadata"}
    method = stream.mode.value.upper()
    entry["replication_method"] = method
    key = replication_key(stream.entry) if stream.mode is Mode.INCREMENTAL else None
    entry["replication_key"] = key
    root = {**about_stream(stream.entry), "selected": True, "replication-method": method}
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
