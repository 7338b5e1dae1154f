"""`orchestrator runs`: what ran, how it went, what it said."""

from datetime import UTC
from time import sleep
from typing import Annotated

import typer

from orchestrator.domains.identity import service as identity
from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.runs import rules, service
from orchestrator.domains.runs.cli import pausing, showing, sync, watching
from orchestrator.domains.runs.errors import TimeoutArgumentError, TooRecentError
from orchestrator.domains.runs.types import LogEntry, Run, RunStatus
from orchestrator.drivers.bundle import Drivers
from orchestrator.drivers.inject import of_command
from orchestrator.kernel import console, durations
from orchestrator.kernel.console import Json
from orchestrator.kernel.ids import LARGEST

app = typer.Typer(no_args_is_help=True, help="List, show, explain, cancel and retry runs.")
_POLL = 0.5  # seconds between looks at a running log

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="Id of a run, or the beginning of one.")]


@app.command("list")
def list_(
    context: typer.Context,
    *,
    integration: Annotated[str | None, typer.Option("--integration", "-i", help="Only runs of this one.")] = None,
    status: Annotated[list[RunStatus] | None, typer.Option(help="Only these; can be given several times.")] = None,
    before: Annotated[str | None, typer.Option(metavar="RUN", help="Only older ones than this: the next page.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many.")] = 20,
    as_json: Json = False,
) -> None:
    """List runs, the newest first."""
    drivers = of_command(context)
    place = identity.find(drivers.db, drivers.settings.organization)
    pausing.look_after(drivers)
    only = None if integration is None else integrations.find(drivers, place.org_id, integration).id
    older_than = None if before is None else service.find(drivers, place.org_id, before).id
    found = service.listing(
        drivers, place.org_id, integration_id=only, statuses=tuple(status or ()), before=older_than, limit=limit
    )
    names = _names(drivers, place.org_id)
    if as_json:
        console.show_json([showing.run_json(run, names.get(run.integration_id)) for run in found])
        return
    rows = [
        (
            run.id,
            names.get(run.integration_id, run.integration_id),
            rules.kind(run),
            showing.MARKS[run.status],
            run.requested_at,
            showing.seconds(run),
            run.failure.message if run.failure else "",
        )
        for run in found
    ]
    columns = ("run", "integration", "kind", "status", "requested", "seconds", "why")
    empty = "Nothing ran yet. Start a sync: orchestrator sync <id>"
    console.show_table(columns, rows, empty=empty, numeric=["seconds"], whole=["status", "requested"], below="why")


@app.command()
def show(context: typer.Context, run: RunArgument, *, as_json: Json = False) -> None:
    """Show a run: status, why, and what it moved."""
    drivers, found, name = _found(context, run)
    counts = service.counts(drivers, found)
    phases = service.phases(drivers, found)
    place = service.waiting(drivers, found)
    if as_json:
        line = None if place is None else {"position": place[0].position, "reason": place[1]}
        console.show_json({**showing.run_json(found, name, counts), "phases": phases, "waiting": line})
        return
    facts = {
        "run": found.id,
        "integration": name,
        "kind": f"{rules.kind(found)} {rules.during(found)}".strip(),
        "status": showing.MARKS[found.status] + (f" ({found.failure.kind.value})" if found.failure else ""),
        "requested": found.requested_at,
        "seconds": showing.seconds(found),
        "full refresh": found.full_refresh,
    }
    if phases:
        facts |= {"phases": ", ".join(f"{phase} {seconds:.1f} s" for phase, seconds in phases.items())}
    if found.retry_of is not None:
        facts |= {"retry of": found.retry_of}
    if place is not None:
        facts |= {"place in line": place[0].position, "waits because": place[1]}
    if found.failure:
        facts |= {"why": found.failure.message, "what to do": found.failure.hint}
    console.show_facts(facts)
    if counts:
        watching.show_counts(counts)
    if gone := showing.pruned(found, drivers.settings.runs.keep):
        console.say(gone)


@app.command()
def explain(context: typer.Context, run: RunArgument, *, as_json: Json = False) -> None:
    """Explain why a run ended so, and who can do what about it."""
    _, found, name = _found(context, run)
    why = rules.explained(found)
    if as_json:
        console.show_json({"run": found.id, "status": found.status, **showing.explanation_json(why)})
        return
    facts = {"run": found.id, "integration": name, "status": showing.MARKS[found.status], "cause": why.cause}
    if why.said:
        facts |= {"who can help": showing.FIXERS[why.who], "it said": why.said}
    if why.todo:
        facts |= {"what to do": why.todo}
    console.show_facts(facts)


@app.command()
def logs(
    context: typer.Context,
    run: RunArgument,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run ends.")] = False,
    tail: Annotated[
        int | None, typer.Option("--tail", "-n", min=1, max=LARGEST, help="Only the last so many lines.")
    ] = None,
    after: Annotated[
        int | None, typer.Option(min=0, max=LARGEST, help="Go on after this cursor (from --json).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what a run said, secrets taken out.

    Times are in UTC. With --json, a document a line.
    """
    drivers, found, _ = _found(context, run)
    if gone := showing.pruned(found, drivers.settings.runs.keep):
        console.say(gone)
    cursor = after
    entries = service.logs(drivers, found, after=cursor, last=tail or 0)
    while True:
        for entry in entries:
            cursor = entry.id
            _print(entry, as_json=as_json)
        if entries:
            entries = service.logs(drivers, found, after=cursor)
            continue
        if not follow or found.status.ended:
            return
        sleep(_POLL)
        service.recover(drivers)
        found = service.find(drivers, found.org_id, found.id)
        entries = service.logs(drivers, found, after=cursor or 0)


def _print(entry: LogEntry, *, as_json: bool) -> None:
    if as_json:
        console.show_json_line(showing.log_json(entry))
    else:
        message = entry.message.replace("\n", "\n    ")  # a plugin cannot write a line that looks like another's
        console.show_lines(
            f"{entry.at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ} {entry.level:<8} {entry.source:<12} {message}"
        )


@app.command()
def cancel(context: typer.Context, run: RunArgument, *, as_json: Json = False) -> None:
    """Cancel a run; what it has committed is kept."""
    drivers, found, name = _found(context, run)
    asked = service.cancel(drivers, found)
    if as_json:
        console.show_json(showing.run_json(asked, name))
    else:
        console.say(f"{asked.id} is {asked.status.value}.")


@app.command()
def retry(
    context: typer.Context,
    run: RunArgument,
    *,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Leave it to a worker, and don't wait.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
    as_json: Json = False,
) -> None:
    """Retry an ended run as a new one.

    Same streams and limits, from the state as it is now. Waits for it and exits as `orchestrator sync` does; with
    --detach, a worker does it.
    """
    drivers, ended, _ = _found(context, run)
    integration = integrations.find(drivers, ended.org_id, ended.integration_id)
    if detach:
        again = service.retry(drivers, integration, ended, detach=True, trigger="command")
        sync.detached(drivers, integration, again, as_json=as_json)
        return

    def ask() -> Run:
        return service.retry(drivers, integration, ended, trigger="command")

    sync.attended(drivers, integration, ask, quiet=quiet, as_json=as_json)


@app.command()
def discard(context: typer.Context, run: RunArgument, *, as_json: Json = False) -> None:
    """Drop the scratch schema that a dry run kept."""
    drivers, found, name = _found(context, run)
    service.discard(drivers, found)
    if as_json:
        console.show_json(showing.run_json(service.find(drivers, found.org_id, found.id), name))
    else:
        console.say(f"Schema {found.scratch_schema} is gone.")


@app.command()
def prune(
    context: typer.Context,
    *,
    older_than: Annotated[str, typer.Option(metavar="DURATION", help="What is over for so long: 90d.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")] = False,
    as_json: Json = False,
) -> None:
    """Remove what old runs said and counted.

    Old slots of schedules and events go as well; runs stay listed, and state stays.

    Workers do so by themselves once a day (ORCHESTRATOR_RUNS__KEEP). An integration's newest run
    stays whole, and each schedule's newest slot. Scratch schemas that dead dry runs left go, too.
    """
    try:
        keep = durations.parse(older_than, longest=durations.A_CENTURY)
    except ValueError:
        raise TimeoutArgumentError(older_than) from None
    if keep < service.LEAST_KEPT:
        raise TooRecentError
    drivers = of_command(context)
    place = identity.find(drivers.db, drivers.settings.organization)
    age = durations.spoken(keep)
    asked = f"Remove logs, counts, slots and events older than {age}?"
    if not yes and not console.agreed(asked, what=f"Removing what is older than {age}"):
        console.say("Nothing was removed.")
        return
    gone = service.prune(drivers, place.org_id, keep=keep)
    schemas = service.clear(drivers, place.org_id, keep=keep)
    if as_json:
        console.show_json({"removed": gone, "scratch_schemas": schemas})
        return
    console.say(f"{gone:,} rows of history removed." if gone else "There was nothing that old.")
    if schemas:
        console.say(f"{schemas:,} scratch schemas of dry runs dropped.")


def _found(context: typer.Context, wanted: str) -> tuple[Drivers, Run, str | None]:
    drivers = of_command(context)
    place = identity.find(drivers.db, drivers.settings.organization)
    pausing.look_after(drivers)
    run = service.find(drivers, place.org_id, wanted)
    return drivers, run, _names(drivers, place.org_id).get(run.integration_id)


def _names(drivers: Drivers, org_id: str) -> dict[str, str]:
    there = integrations.listing(drivers, org_id)
    gone = integrations.listing(drivers, org_id, deleted=True)
    return {one.id: one.name for one in (*gone, *there)}
