"""`orchestrator state`: where every stream stands, and going back."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer

from orchestrator.domains.identity import service as identity
from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.types import Integration
from orchestrator.domains.runs import rules, service
from orchestrator.domains.runs.cli import pausing, showing
from orchestrator.domains.runs.types import StateEntry, StateMove
from orchestrator.drivers.bundle import Drivers
from orchestrator.drivers.inject import of_command
from orchestrator.kernel import console
from orchestrator.kernel.console import Json
from orchestrator.kernel.errors import UsageError
from orchestrator.kernel.ids import LARGEST


class Action(StrEnum):
    """What to do with an integration's state."""

    SHOW = "show"
    HISTORY = "history"
    ROLLBACK = "rollback"
    RESET = "reset"


def state(
    context: typer.Context,
    integration: Annotated[str, typer.Argument(metavar="INTEGRATION", help="Name, id, or the beginning of an id.")],
    action: Annotated[Action, typer.Argument(metavar="ACTION", help="What to do.")] = Action.SHOW,
    entry: Annotated[
        int | None, typer.Argument(min=1, max=LARGEST, help="For rollback: an entry of the history.")
    ] = None,
    *,
    stream: Annotated[
        list[str] | None, typer.Option("--stream", "-s", help="Only this stream; can be given several times.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")] = False,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=10_000, help="How many entries of the history.")
    ] = 30,
    as_json: Json = False,
) -> None:
    """Show and set back where every stream stands.

      state CRM                         where it stands
      state CRM history                 how it came there
      state CRM rollback 12             back to that entry of the history
      state CRM reset --stream Contact  from the start

    rollback and reset say what they would do and ask first; with --json they only say it, unless --yes is given.
    """
    drivers = of_command(context)
    place = identity.find(drivers.db, drivers.settings.organization)
    found = integrations.find(drivers, place.org_id, integration)
    pausing.unconfirmed(drivers)
    streams = tuple(stream or ())
    if action is Action.SHOW:
        _entries(
            service.show(drivers, found, streams=streams),
            as_json=as_json,
            empty="Nothing was synced yet; the first sync reads from the start.",
        )
    elif action is Action.HISTORY:
        history = service.history(drivers, found, stream=streams[0] if streams else None, limit=limit)
        _entries(history, as_json=as_json, empty="Nothing was synced yet.")
    elif action is Action.ROLLBACK and entry is None:
        raise UsageError("Say which state to go back to.", hint=f"See them: orchestrator state {found.name!r} history.")
    else:
        _change(drivers, found, entry, streams, yes=yes, as_json=as_json)


def _entries(entries: Sequence[StateEntry], *, as_json: bool, empty: str) -> None:
    if as_json:
        console.show_json([showing.state_json(entry) for entry in entries])
        return
    rows = [
        (
            str(entry.id),
            showing.stream_name(entry.stream),
            rules.position(entry.bookmark),
            entry.reason,
            entry.run_id,
            entry.at,
        )
        for entry in entries
    ]
    console.show_table(
        ("entry", "stream", "position", "by", "run", "when"), rows, empty=empty, numeric=["entry"], whole=["when"]
    )


def _change(
    drivers: Drivers, found: Integration, entry: int | None, streams: Sequence[str], *, yes: bool, as_json: bool
) -> None:
    def change(*, apply: bool) -> list[StateMove]:
        if entry is None:
            return service.reset(drivers, found, streams=streams, apply=apply)
        return service.rollback(drivers, found, entry, streams=streams, apply=apply)

    moves = change(apply=False)
    if as_json:
        if yes:
            change(apply=True)
        console.show_json({"applied": yes, "streams": [showing.move_json(move) for move in moves]})
        return
    rows = [(showing.stream_name(m.stream), rules.position(m.before), rules.position(m.after), m.reread) for m in moves]
    columns = ("stream", "now", "then", "records read since")
    console.show_table(columns, rows, empty="Nothing would change.", numeric=["records read since"])
    if moves and (yes or console.agreed("Change it? Those records will be read again", what="Changing it")):
        change(apply=True)
        console.say(f"Done. The next sync reads them: orchestrator sync {found.name!r}")
