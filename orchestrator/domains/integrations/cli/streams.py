"""`orchestrator streams`: what is read, and how."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Annotated

import typer

from orchestrator.domains.integrations import rules, service
from orchestrator.domains.integrations.cli import finding, showing
from orchestrator.domains.integrations.cli.finding import Wanted
from orchestrator.domains.integrations.errors import UnknownStreamError
from orchestrator.domains.integrations.types import Integration, Mode, Stream
from orchestrator.drivers.bundle import Drivers
from orchestrator.kernel import console
from orchestrator.kernel.console import Json
from orchestrator.kernel.errors import UsageError


class Action(StrEnum):
    """What to do with streams."""

    LIST = "list"
    SELECT = "select"
    DESELECT = "deselect"
    MODE = "mode"


def streams(
    context: typer.Context,
    integration: Wanted,
    action: Annotated[Action, typer.Argument(metavar="ACTION", help="What to do.")] = Action.LIST,
    patterns: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATTERN", help="Streams (Account, '*__c') or their fields (Contact.Description)."),
    ] = None,
    *,
    selected: Annotated[bool, typer.Option("--selected", help="List only what is selected.")] = False,
    fields: Annotated[bool, typer.Option("--fields", help="List the fields, too.")] = False,
    as_json: Json = False,
) -> None:
    """List and choose the streams that are read.

    Patterns match without regard to case, `*` and `?` as in a shell.

      streams CRM select Account 'Opp*'         read these
      streams CRM deselect Contact.Description  leave out a field
      streams CRM mode full_table Account       or incremental, log_based
    """
    drivers, found = finding.found(context, integration)
    given = tuple(patterns or ())
    if action is Action.LIST:
        chosen = _matching(service.streams(drivers, found), given)
        shown = [stream for stream in chosen if stream.selected or not selected]
        _show(found, shown, fields=fields, as_json=as_json)
    elif action is Action.MODE:
        _change_mode(drivers, found, given, as_json=as_json)
    else:
        _choose(drivers, found, given, selected=action is Action.SELECT, as_json=as_json)


def _matching(known: list[Stream], patterns: Sequence[str]) -> list[Stream]:
    if not patterns:
        return known
    wanted: set[str] = set()
    for pattern, fitting in rules.matching(patterns, [stream.name for stream in known]).items():
        if not fitting:
            raise UnknownStreamError(pattern, [stream.name for stream in known])
        wanted.update(fitting)
    return [stream for stream in known if stream.name in wanted]


def _choose(drivers: Drivers, found: Integration, patterns: tuple[str, ...], *, selected: bool, as_json: bool) -> None:
    if not patterns:
        word = "select" if selected else "deselect"
        raise UsageError(
            f"Say what to {word}.", hint=f"For example: {finding.command('streams', found.name, word, '*')}"
        )
    names = service.choose(drivers, found, patterns, selected=selected)
    if as_json:
        _show_changed(drivers, found, names)
        return
    count, total = service.stream_counts(drivers, found.org_id).get(found.id, (0, 0))
    console.say(
        f"{'Selected' if selected else 'Left out'}: {showing.few(names)}. {count:,} of {total:,} streams are read."
    )


def _change_mode(drivers: Drivers, found: Integration, given: tuple[str, ...], *, as_json: bool) -> None:
    modes = [mode.value for mode in Mode]
    if len(given) < 2 or given[0].lower() not in modes:  # noqa: PLR2004 - a mode and a pattern
        raise UsageError(
            f"Say how to read which streams: {', '.join(modes)}.",
            hint=f"For example: {finding.command('streams', found.name, 'mode', 'full_table', 'Account')}",
        )
    mode = Mode(given[0].lower())
    names = service.change_mode(drivers, found, given[1:], mode)
    if as_json:
        _show_changed(drivers, found, names)
    else:
        console.say(f"Read as {mode}: {showing.few(names)}.")


def _show_changed(drivers: Drivers, found: Integration, names: Iterable[str]) -> None:
    """The streams that were changed, or whose fields were, as JSON."""
    changed = set(names)
    known = service.streams(drivers, found)
    touched = [
        stream
        for stream in known
        if stream.name in changed or any(name.startswith(f"{stream.name}.") for name in changed)
    ]
    console.show_json([showing.stream_json(stream) for stream in touched])


def _show(found: Integration, shown: list[Stream], *, fields: bool, as_json: bool) -> None:
    if as_json:
        console.show_json([_json(stream, fields=fields) for stream in shown])
        return
    if fields:
        _show_fields(shown)
        return
    rows = [
        (
            stream.name,
            "gone" if stream.gone_at else ("● yes" if stream.selected else "○ no"),
            stream.mode.value,
            ", ".join(rules.primary_key(stream.entry)) or "–",
            rules.replication_key(stream.entry),
            f"{len(rules.read_fields(stream))}/{len(rules.fields(stream.entry))}",
        )
        for stream in shown
    ]
    empty = (
        f"No stream is known yet. Ask the source: {finding.command('discover', found.name)}"
        if found.discovered_at is None
        else "No stream to show."
    )
    columns = ("stream", "selected", "mode", "key", "changes by", "fields")
    console.show_table(columns, rows, empty=empty, numeric=["fields"])


def _show_fields(shown: list[Stream]) -> None:
    rows = [
        (f"{stream.name}.{name}", _reading(stream, name), _type(stream, name))
        for stream in shown
        for name in _fields(stream)
    ]
    console.show_table(("field", "read", "type"), rows, empty="No field to show.")


def _fields(stream: Stream) -> list[str]:
    """Every field: keys first, then by name."""
    keys = rules.primary_key(stream.entry)
    return sorted(rules.fields(stream.entry), key=lambda name: (name not in keys, name))


def _reading(stream: Stream, name: str) -> str:
    inclusion = rules.field_inclusion(stream.entry, name)
    if inclusion == "unsupported":
        return "– can't be"
    if inclusion == "automatic":
        return "● always"
    return "○ no" if name in stream.deselected_fields else "● yes"


def _type(stream: Stream, name: str) -> str:
    schema = stream.entry["schema"]["properties"][name]
    types = schema.get("type", [])
    words = [types] if isinstance(types, str) else [word for word in types if word != "null"]
    return str(schema.get("format") or ", ".join(words))


def _json(stream: Stream, *, fields: bool) -> dict[str, object]:
    document = showing.stream_json(stream)
    if fields:
        read = set(rules.read_fields(stream))
        document["fields"] = [
            {"field": name, "read": name in read, "type": _type(stream, name)} for name in _fields(stream)
        ]
    return document
