"""`orchestrator sync`."""

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated

import typer

from orchestrator.domains.identity import service as identity
from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.types import Integration
from orchestrator.domains.runs import service
from orchestrator.domains.runs.cli import showing, watching
from orchestrator.domains.runs.errors import RunFailedError, TimeoutArgumentError
from orchestrator.domains.runs.types import Run, RunStatus
from orchestrator.drivers.bundle import Drivers
from orchestrator.drivers.inject import of_command
from orchestrator.kernel import console, durations
from orchestrator.kernel.console import Json


def sync(
    context: typer.Context,
    integration: Annotated[str, typer.Argument(metavar="ID", help="Id, beginning of an id, or name.")],
    *,
    stream: Annotated[
        list[str] | None, typer.Option("--stream", "-s", help="Only this stream; can be given several times.")
    ] = None,
    full_refresh: Annotated[
        bool, typer.Option("--full-refresh", help="Read from the start; other streams keep their state.")
    ] = False,
    timeout: Annotated[str | None, typer.Option(help="Stop after this long: 90s, 15m, 2h.")] = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Leave it to a worker, and don't wait.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
    as_json: Json = False,
) -> None:
    """Sync now, and wait for it; with --detach, have a worker do it.

    Exits 0 where everything arrived, 9 where a part did, 1 where it failed, 5 where a sync is under way already,
    8 where somebody must sign in again, 124 where it took too long.
    """
    drivers = of_command(context)
    place = identity.find(drivers.db, drivers.settings.organization)
    found = integrations.find(drivers, place.org_id, integration)
    limit = time_limit(timeout)
    if detach:
        run = service.submit(
            drivers, found, streams=stream or None, full_refresh=full_refresh, timeout=limit, trigger="command"
        )
        detached(drivers, found, run, as_json=as_json)
        return

    def ask() -> Run:
        return service.request(
            drivers, found, streams=stream or None, full_refresh=full_refresh, timeout=limit, trigger="command"
        )

    attended(drivers, found, ask, quiet=quiet, as_json=as_json)


def attended(drivers: Drivers, integration: Integration, ask: Callable[[], Run], *, quiet: bool, as_json: bool) -> None:
    """Request a run and do it in this process, showing how it goes. Raises RunFailedError unless it succeeds."""
    with watching.stoppable() as stop, watching.watching(quiet=quiet or as_json) as watcher:
        run = service.execute(drivers, integration, ask(), cancel=stop.event, on_progress=watcher)
    counts = service.counts(drivers, run)
    if as_json:
        console.show_json(showing.run_json(run, integration.name, counts))
    elif not quiet:
        if counts:
            console.out().print(watching.count_table(counts, final=True))
        loaded = showing.where(integration, integrations.destination(drivers, integration))
        console.say(f"{showing.MARKS[run.status]}: {run.id}, {loaded}.")
    if run.status is not RunStatus.SUCCEEDED:
        failed = RunFailedError(run)
        if stop.code and run.status is RunStatus.CANCELLED:
            failed.exit_code = stop.code
        raise failed


def detached(drivers: Drivers, integration: Integration, run: Run, *, as_json: bool) -> None:
    """Say where a run that was left to workers can be watched."""
    if as_json:
        console.show_json(showing.run_json(run, integration.name))
        return
    console.show_lines(run.id)
    if not any(worker.alive and not worker.draining for worker in service.workers(drivers)):
        console.say("No worker runs yet, so it waits. Start one: orchestrator worker")
    console.say(f"Watch it: orchestrator runs logs {run.id} -f")


def time_limit(text: str | None) -> timedelta | None:
    """What --timeout says. Raises TimeoutArgumentError."""
    if text is None:
        return None
    try:
        return durations.parse(text)
    except ValueError:
        raise TimeoutArgumentError(text) from None
