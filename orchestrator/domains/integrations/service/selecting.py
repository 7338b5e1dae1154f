"""Which streams and fields are read, and how."""

from collections.abc import Iterable, Sequence

from orchestrator.domains.integrations import queries, rules
from orchestrator.domains.integrations.errors import StreamModeError, UnknownStreamError
from orchestrator.domains.integrations.events import IntegrationChanged
from orchestrator.domains.integrations.types import Integration, Mode, Stream
from orchestrator.drivers.bundle import Drivers
from orchestrator.kernel.events import emit


def streams(drivers: Drivers, integration: Integration) -> list[Stream]:
    """Every stream the last discovery found, those gone since included, by name."""
    with drivers.db.transaction(integration.org_id) as tx:
        return queries.streams(tx, integration.id)


def stream_counts(drivers: Drivers, org_id: str) -> dict[str, tuple[int, int]]:
    """How many streams are selected and how many there are, by integration; none known, none listed."""
    with drivers.db.transaction(org_id) as tx:
        return queries.stream_counts(tx)


def choose(drivers: Drivers, integration: Integration, patterns: Sequence[str], *, selected: bool) -> tuple[str, ...]:
    """Select or deselect what the patterns fit: streams, or fields of streams (`Contact.Description`).

    Answers the names, fields as `stream.field`. Keys are always read, and are not in the answer to a deselection; a
    field that is selected leaves its stream as it is. Raises UnknownStreamError where a pattern fits nothing; then
    nothing was changed.
    """
    known = {one.name: one for one in streams(drivers, integration) if one.gone_at is None or not selected}
    names, fields = rules.aimed_at(patterns, known)
    if missing := next((pattern for pattern in patterns if pattern not in names | fields), None):
        raise UnknownStreamError(missing, known)
    chosen = tuple(dict.fromkeys(name for pattern in patterns for name in names.get(pattern, ())))
    by_stream: dict[str, dict[str, None]] = {}
    for stream, field in (pair for pattern in patterns for pair in fields.get(pattern, ())):
        if selected or rules.field_inclusion(known[stream].entry, field) != "automatic":
            by_stream.setdefault(stream, {})[field] = None
    with drivers.db.transaction(integration.org_id) as tx:
        queries.change_streams(tx, integration.id, chosen, selected=selected)
        for stream, its_fields in by_stream.items():
            before = set(known[stream].deselected_fields)
            after = before - its_fields.keys() if selected else before | its_fields.keys()
            queries.change_streams(tx, integration.id, [stream], deselected_fields=sorted(after))
        emit(tx, IntegrationChanged(org_id=integration.org_id, integration_id=integration.id, what="selection"))
    return (*chosen, *(f"{stream}.{field}" for stream, its_fields in by_stream.items() for field in its_fields))


def choose_only(drivers: Drivers, integration: Integration, patterns: Sequence[str]) -> tuple[str, ...]:
    """Read exactly the streams these patterns fit, none where there is no pattern; what is gone stays as it was.

    Raises UnknownStreamError where a pattern fits nothing; then nothing was changed.
    """
    known = [one.name for one in streams(drivers, integration) if one.gone_at is None]
    chosen = _fitting(patterns, known)
    with drivers.db.transaction(integration.org_id) as tx:
        queries.change_streams(tx, integration.id, set(known).difference(chosen), selected=False)
        queries.change_streams(tx, integration.id, chosen, selected=True)
        emit(tx, IntegrationChanged(org_id=integration.org_id, integration_id=integration.id, what="selection"))
    return chosen


def change_mode(drivers: Drivers, integration: Integration, patterns: Sequence[str], mode: Mode) -> tuple[str, ...]:
    """Read these streams in another way. Raises StreamModeError where one can't be; then nothing was changed."""
    known = {one.name: one for one in streams(drivers, integration)}
    names = _fitting(patterns, known)
    for name in names:
        if mode not in rules.modes(known[name].entry):
            raise StreamModeError(name, mode.value)
    with drivers.db.transaction(integration.org_id) as tx:
        queries.change_streams(tx, integration.id, names, mode=mode.value)
        emit(tx, IntegrationChanged(org_id=integration.org_id, integration_id=integration.id, what="mode"))
    return names


def _fitting(patterns: Sequence[str], names: Iterable[str]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for pattern, fitting in rules.matching(patterns, names).items():
        if not fitting:
            raise UnknownStreamError(pattern, names)
        found.update(dict.fromkeys(fitting))
    return tuple(found)
