"""State: Meltano's form and ours, and what a bookmark means to people."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

WHOLE_TAP = ""  # state a tap keeps outside of any stream is stored under this name


def bookmarks_of(state: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """A Meltano state (completed and partial parts) as one bookmark a stream.

    Each is {"completed": …, "partial": …} with only the parts that are there. What a tap keeps outside of
    `bookmarks` goes under WHOLE_TAP.
    """
    result: dict[str, dict[str, Any]] = {}
    for part in ("completed", "partial"):
        singer = ((state or {}).get(part) or {}).get("singer_state") or {}
        for stream, bookmark in (singer.get("bookmarks") or {}).items():
            result.setdefault(stream, {})[part] = bookmark
        rest = {key: value for key, value in singer.items() if key != "bookmarks"}
        if rest:
            result.setdefault(WHOLE_TAP, {})[part] = rest
    return result


def state_of(bookmarks: Mapping[str, Mapping[str, Any] | None]) -> dict[str, Any] | None:
    """The inverse of bookmarks_of; None where there is nothing to go on from."""
    state: dict[str, Any] = {}
    for stream, parts in bookmarks.items():
        for part, bookmark in (parts or {}).items():
            singer = state.setdefault(part, {}).setdefault("singer_state", {})
            if stream == WHOLE_TAP:
                singer.update(bookmark)
            else:
                singer.setdefault("bookmarks", {})[stream] = bookmark
    return state or None


def singer_state(bookmarks: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """The state as Singer plugins have it, newer parts over older; None where there is nothing to go on from."""
    state: dict[str, Any] = {}
    for stream, parts in bookmarks.items():
        newest = {**parts.get("completed", {}), **parts.get("partial", {})}
        if stream == WHOLE_TAP:
            state.update(newest)
        else:
            state.setdefault("bookmarks", {})[stream] = newest
    return state or None


def changed(
    before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    """The streams whose bookmark moved. A stream missing from `after` is left as it is: silence is not a reset."""
    return {stream: parts for stream, parts in after.items() if before.get(stream) != parts}


def position(bookmark: Mapping[str, Any] | None) -> str:
    """Where a bookmark stands, for people."""
    if not bookmark:
        return "from the start"
    inner = bookmark.get("partial") or bookmark.get("completed") or {}
    value = inner.get("replication_key_value") if isinstance(inner, Mapping) else None
    if value is not None:
        return str(value)
    if not inner:
        return "complete"
    text = ", ".join(f"{key}={value}" for key, value in sorted(inner.items()))
    return text if len(text) <= _POSITION_LENGTH else f"{text[:_POSITION_LENGTH]}…"


_POSITION_LENGTH = 80


def without(bookmarks: Mapping[str, Any], streams: Iterable[str]) -> dict[str, Any]:
    """Bookmarks less those of streams that start over."""
    dropped = set(streams)
    return {stream: bookmark for stream, bookmark in bookmarks.items() if stream not in dropped}


def unknown(wanted: Sequence[str], known: Iterable[str]) -> tuple[str, ...]:
    """Which of the wanted names aren't known."""
    names = set(known)
    return tuple(name for name in wanted if name not in names)
