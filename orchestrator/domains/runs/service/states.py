"""State: where every stream stands, how it came there, and going back."""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.errors import UnknownStreamError
from orchestrator.domains.integrations.types import Integration
from orchestrator.domains.runs import queries, rules
from orchestrator.domains.runs.errors import StateBusyError, UnknownStateError
from orchestrator.domains.runs.events import StateChanged
from orchestrator.domains.runs.service.requesting import recover
from orchestrator.domains.runs.types import StateEntry, StateMove
from orchestrator.drivers.bundle import Drivers
from orchestrator.kernel.events import emit


def show(drivers: Drivers, integration: Integration, *, streams: Sequence[str] = ()) -> list[StateEntry]:
    """Where every stream stands now, by name; only these where some are named. Raises UnknownStreamError."""
    _known_streams(drivers, integration, streams)
    with drivers.db.transaction(integration.org_id) as tx:
        now = queries.current_state(tx, integration.id).values()
    return sorted((one for one in now if not streams or one.stream in streams), key=lambda entry: entry.stream)


def history(
    drivers: Drivers, integration: Integration, *, stream: str | None = None, limit: int = 50
) -> list[StateEntry]:
    """How the state came to be, the newest first. Raises UnknownStreamError."""
    _known_streams(drivers, integration, [stream] if stream is not None else [])
    with drivers.db.transaction(integration.org_id) as tx:
        return queries.state_history(tx, integration.id, stream=stream, limit=limit)


def rollback(
    drivers: Drivers, integration: Integration, entry_id: int, *, streams: Sequence[str] = (), apply: bool
) -> list[StateMove]:
    """Go back to how the state was when that entry was written; without `apply`, only say what it would do.

    streams:  only these; all where empty
    Raises UnknownStateError, UnknownStreamError, StateBusyError where a sync is under way.
    """
    _known_streams(drivers, integration, streams)
    with drivers.db.transaction(integration.org_id) as tx:
        now = queries.current_state(tx, integration.id)
        then = queries.state_as_of(tx, integration.id, entry_id)
        if entry_id not in {entry.id for entry in then.values()}:
            raise UnknownStateError(str(entry_id))
        aims = {name: then[name].bookmark if name in then else None for name in now if not streams or name in streams}
        moves = [
            StateMove(
                stream=name,
                before=now[name].bookmark,
                after=aim,
                reread=queries.read_since(tx, integration.id, name, then[name].id if name in then else 0),
            )
            for name, aim in aims.items()
            if now[name].bookmark != aim
        ]
    if apply:
        _set(drivers, integration, {move.stream: move.after for move in moves}, reason="rollback")
    return moves


def reset(drivers: Drivers, integration: Integration, *, streams: Sequence[str] = (), apply: bool) -> list[StateMove]:
    """Start streams over, all where none is named; without `apply`, only say what it would do."""
    _known_streams(drivers, integration, streams)
    with drivers.db.transaction(integration.org_id) as tx:
        now = queries.current_state(tx, integration.id)
        moves = [
            StateMove(
                stream=name,
                before=entry.bookmark,
                after=None,
                reread=queries.read_since(tx, integration.id, name, 0),
            )
            for name, entry in now.items()
            if entry.bookmark is not None and (not streams or name in streams)
        ]
    if apply:
        _set(drivers, integration, {move.stream: None for move in moves}, reason="reset")
    return moves


def _known_streams(drivers: Drivers, integration: Integration, wanted: Sequence[str]) -> None:
    if not wanted:
        return
    with drivers.db.transaction(integration.org_id) as tx:
        with_state = set(queries.current_state(tx, integration.id))
    known = {stream.name for stream in integrations.streams(drivers, integration)} | with_state
    for name in rules.unknown(wanted, known):
        raise UnknownStreamError(name, known)


def _set(
    drivers: Drivers, integration: Integration, aims: Mapping[str, Mapping[str, Any] | None], *, reason: str
) -> None:
    recover(drivers)
    with drivers.db.transaction(integration.org_id) as tx:
        integrations.hold(tx, integration.id)  # a run that is being requested waits, and then sees the new state
        under_way = queries.active_run(tx, integration.id)
        if under_way is not None:
            raise StateBusyError(under_way.id)
        queries.set_state(tx, integration.org_id, integration.id, aims, reason=reason)
        changed = StateChanged(
            org_id=integration.org_id, integration_id=integration.id, streams=sorted(aims), reason=reason
        )
        emit(tx, changed)
