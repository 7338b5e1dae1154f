"""`orchestrator workers`: who executes detached runs."""

import typer

from orchestrator.domains.runs import service
from orchestrator.domains.runs.cli import pausing
from orchestrator.domains.runs.types import Worker
from orchestrator.drivers.inject import of_command
from orchestrator.kernel import console
from orchestrator.kernel.console import Json

app = typer.Typer(no_args_is_help=True, help="List the processes that execute detached runs.")


@app.callback()
def root() -> None:
    """List the processes that execute detached runs."""


@app.command("list")
def list_(context: typer.Context, *, as_json: Json = False) -> None:
    """List the workers of this installation, the oldest first."""
    drivers = of_command(context)
    if not pausing.unconfirmed(drivers):
        service.strike_off_dead(drivers)
    found = service.workers(drivers)
    if as_json:
        console.show_json([_json(one) for one in found])
        return
    rows = [
        (one.name, _state(one), f"{one.busy}/{one.concurrency}", one.host, str(one.pid), one.version, one.heartbeat_at)
        for one in found
    ]
    columns = ("worker", "state", "runs", "host", "pid", "version", "last heartbeat")
    console.show_table(columns, rows, empty="No worker runs. Start one: orchestrator worker", numeric=["runs", "pid"])


@app.command()
def resume(context: typer.Context, *, as_json: Json = False) -> None:
    """Resume workers after the database was restored or copied.

    Runs go on from the state in it. Look before whether another installation works with a copy of the same database.
    """
    because = service.resume(of_command(context))
    if as_json:
        console.show_json({"resumed": because is not None, "because": because})
        return
    if because is None:
        console.say("Workers are not paused.")
        return
    console.say(f"They were paused, since {because}. They go on now.")


def _state(worker: Worker) -> str:
    if not worker.alive:
        return "× silent"
    return "◐ draining" if worker.draining else "● working"


def _json(worker: Worker) -> dict[str, object]:
    return {
        "name": worker.name,
        "host": worker.host,
        "pid": worker.pid,
        "version": worker.version,
        "concurrency": worker.concurrency,
        "busy": worker.busy,
        "alive": worker.alive,
        "draining": worker.draining,
        "started_at": worker.started_at,
        "heartbeat_at": worker.heartbeat_at,
    }
