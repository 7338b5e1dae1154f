"""`orchestrator backfill`: a window of the past, once more."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from orchestrator.domains.identity import service as identity
from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.runs import rules, service
from orchestrator.domains.runs.cli import sync
from orchestrator.domains.runs.types import Run, RunKind
from orchestrator.drivers.inject import of_command
from orchestrator.kernel.console import Json


def backfill(
    context: typer.Context,
    integration: Annotated[str, typer.Argument(metavar="INTEGRATION", help="Name, id, or the beginning of an id.")],
    *,
    since: Annotated[str, typer.Option("--from", help="First day or time of the window: 2024-01-01.")],
    until: Annotated[
        str | None, typer.Option("--to", help="Its end, which is not part of it; now where it is left out.")
    ] = None,
    stream: Annotated[
        list[str] | None, typer.Option("--stream", "-s", help="Only this stream; can be given several times.")
    ] = None,
    timeout: Annotated[str | None, typer.Option(metavar="DURATION", help="Stop after this long: 90s, 15m, 2h.")] = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Leave it to a worker, and don't wait.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
    as_json: Json = False,
) -> None:
    """Read once more what changed in a window of time.

    It goes into the same tables, and syncs go on as if it had never been. Records come as they are at the source
    now, and rows of the same key are updated; deletions are not looked for. One that was stopped or failed goes on
    where it was: orchestrator runs retry. Exits as `orchestrator sync` does.
    """
    window = rules.window(since, until, now=datetime.now(UTC))
    limit = sync.time_limit(timeout)
    drivers = of_command(context)
    place = identity.find(drivers.db, drivers.settings.organization)
    found = integrations.find(drivers, place.org_id, integration)
    ask = service.submit if detach else service.request

    def asked() -> Run:
        return ask(
            drivers,
            found,
            kind=RunKind.BACKFILL,
            window=window,
            streams=stream or None,
            timeout=limit,
            trigger="command",
        )

    if detach:
        sync.detached(drivers, found, asked(), as_json=as_json)
    else:
        sync.attended(drivers, found, asked, quiet=quiet, as_json=as_json)
