"""`orchestrator sync`."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Annotated

import typer

from orchestrator.domains.identity import service as identity
from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.types import Integration
from orchestrator.domains.runs import service
from orchestrator.domains.runs.cli import pausing, showing, watching
from orchestrator.domains.runs.errors import RunFailedError, TimeoutArgumentError
from orchestrator.domains.runs.types import Run, RunKind, RunStatus
from orchestrator.drivers.bundle import Drivers
from orchestrator.drivers.inject import of_command
from orchestrator.kernel import console, durations
from orchestrator.kernel.console import Json
from orchestrator.kernel.errors import UsageError
from orchestrator.kernel.stdio import ReaderLeftError


def sync(
    context: typer.Context,
    integration: Annotated[str, typer.Argument(metavar="INTEGRATION", help="Name, id, or the beginning of an id.")],
    *,
    stream: Annotated[
        list[str] | None, typer.Option("--stream", "-s", help="Only this stream; can be given several times.")
    ] = None,
    full_refresh: Annotated[
        bool, typer.Option("--full-refresh", help="Read from the start; other streams keep their state.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Load into a scratch schema that goes afterwards; state stays as it is.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="With --dry-run: keep the scratch schema.")] = False,
    timeout: Annotated[str | None, typer.Option(metavar="DURATION", help="Stop after this long: 90s, 15m, 2h.")] = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Leave it to a worker, and don't wait.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
    as_json: Json = False,
) -> None:
    """Sync now, and wait for it.

    Exits 0 where everything arrived, 9 where a part did, 1 where it failed, 5 where a sync is under way already,
    8 where a person is needed, as to sign in again, 124 where it took too long.
    """
    if keep and not dry_run:
        raise UsageError("--keep is about what a dry run loaded.", hint="Say --dry-run --keep.")
    limit = time_limit(timeout)
    drivers = of_command(context)
    place = identity.find(drivers.db, drivers.settings.organization)
    found = integrations.find(drivers, place.org_id, integration)
    ask = service.submit if detach else service.request

    def asked() -> Run:
        return ask(
            drivers,
            found,
            kind=RunKind.DRY_RUN if dry_run else RunKind.SYNC,
            keep_scratch=keep,
            streams=stream or None,
            full_refresh=full_refresh,
            timeout=limit,
            trigger="command",
        )

    if detach:
        detached(drivers, found, asked(), as_json=as_json)
    else:
        attended(drivers, found, asked, quiet=quiet, as_json=as_json)


def attended(drivers: Drivers, integration: Integration, ask: Callable[[], Run], *, quiet: bool, as_json: bool) -> None:
    """Request a run and do it in this process, showing how it goes. Raises RunFailedError unless it succeeds."""
    with watching.stoppable() as stop, watching.watching(quiet=quiet or as_json) as watcher:
        run = service.execute(drivers, integration, ask(), cancel=stop.event, on_progress=watcher)
    with suppress(ReaderLeftError):  # the exit code says how it ended, whoever still reads
        _show(drivers, integration, run, quiet=quiet, as_json=as_json)
    if run.status is not RunStatus.SUCCEEDED:
        failed = RunFailedError(run)
        if stop.code and run.status is RunStatus.CANCELLED:
            failed.exit_code = stop.code
        raise failed


def _show(drivers: Drivers, integration: Integration, run: Run, *, quiet: bool, as_json: bool) -> None:
    """How it ended, and what it moved."""
    counts = service.counts(drivers, run)
    if as_json:
        console.show_json(showing.run_json(run, integration.name, counts))
    elif not quiet:
        if counts:
            watching.show_counts(counts)
        console.say(f"{showing.MARKS[run.status]}: {run.id}, {_place(drivers, integration, run)}.")
        if run.full_refresh and run.kind is RunKind.SYNC and run.status is RunStatus.SUCCEEDED:
            console.say(
                "Rows that the source had removed for good before stay: to be rid of them, empty the table first."
            )


def _place(drivers: Drivers, integration: Integration, run: Run) -> str:
    """Where what it loaded is now."""
    if run.kind is not RunKind.DRY_RUN:
        return showing.where(integration, integrations.destination(drivers, integration))
    if not run.keep_scratch:
        return "the scratch schema is gone, and state is as it was"
    schema = integrations.scratch_schema(drivers, integration)
    return f"kept in schema {schema}. Drop it: orchestrator runs discard {run.id}"


def detached(drivers: Drivers, integration: Integration, run: Run, *, as_json: bool) -> None:
    """Say where a run that was left to workers can be watched."""
    if as_json:
        console.show_json(showing.run_json(run, integration.name))
        return
    console.show_lines(run.id)
    waits = pausing.unconfirmed(drivers)
    if not waits and not any(worker.alive and not worker.draining for worker in service.workers(drivers)):
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
