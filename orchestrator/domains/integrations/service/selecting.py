"""Which streams and fields are read, and how."""

from collections.abc import Sequence

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


def choose(drivers: Drivers, integration: Integration, patterns: Sequence[str], *, selected: bool) -> tuple[str, ...]:
    """Select or deselect the streams that the patterns fit; answers their names.

    Raises UnknownStreamError where a pattern fits none; then nothing was changed.
    """
    known = streams(drivers, integration)
    names = _fitting(patterns, [one.name for one in known if one.gone_at is None or not selected])
    with drivers.db.transaction(integration.org_id) as tx:
        queries.change_streams(tx, integration.id, names, selected=selected)
        emit(tx, IntegrationChanged(org_id=integration.org_id, integration_id=integration.id, what="selection"))
    return names


def choose_fields(
    drivers: Drivers, integration: Integration, stream: str, patterns: Sequence[str], *, selected: bool
) -> tuple[str, ...]:
    """Read or leave out fields of a stream; answers their names. Keys are always read, whatever was chosen.

    Raises UnknownStreamError for the stream or where a pattern fits no field.
    """
    known = {one.name: one for one in streams(drivers, integration)}
    found = known[_fitting([stream], known)[0]]
    names = _fitting(patterns, rules.fields(found.entry), within=found.name)
    left_out = set(found.deselected_fields) - set(names) if selected else {*found.deselected_fields, *names}
    kept = {name for name in left_out if rules.field_inclusion(found.entry, name) != "automatic"}
    with drivers.db.transaction(integration.org_id) as tx:
        queries.change_streams(tx, integration.id, [found.name], deselected_fields=sorted(kept))
        emit(tx, IntegrationChanged(org_id=integration.org_id, integration_id=integration.id, what="selection"))
    return names


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


def _fitting(patterns: Sequence[str], names: Sequence[str] | dict[str, Stream], *, within: str = "") -> tuple[str, ...]:
    found: dict[str, None] = {}
    for pattern, fitting in rules.matching(patterns, names).items():
        if not fitting:
            raise UnknownStreamError(f"{within}.{pattern}" if within else pattern, names)
        found.update(dict.fromkeys(fitting))
    return tuple(found)
