"""Commands that go on until they are stopped: worker, up."""

import logging
import signal
from importlib.metadata import version
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.drivers.bundle import Drivers
from orchestrator.drivers.inject import of_command
from orchestrator.kernel import console

if TYPE_CHECKING:
    from orchestrator.entry.worker import Worker

Concurrency = Annotated[int, typer.Option("--concurrency", "-c", min=1, max=256, help="Runs at once.")]


def mount(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(worker)
    app.command()(up)


def worker(context: typer.Context, *, concurrency: Concurrency = 4) -> None:
    """Execute runs that wait for a worker, until stopped.

    Any number of workers, on any machines, may share one DATABASE_URL and master key.

    The first Ctrl-C or SIGTERM drains: nothing new is taken, runs go on until they have committed state, and others
    take them over from there. The second stops them at once; another worker takes them from there.
    """
    _work(of_command(context), concurrency)


def up(context: typer.Context, *, concurrency: Concurrency = 4) -> None:
    """Set up what is missing, then run scheduler and worker.

    One process and Postgres is all there is to run. It stops as `orchestrator worker` does.
    """
    from orchestrator.entry import installing

    drivers = of_command(context)
    installing.install(drivers)
    _work(drivers, concurrency)


def _work(drivers: Drivers, concurrency: int) -> None:
    from orchestrator.entry import wiring
    from orchestrator.entry.observing import setup as observing
    from orchestrator.entry.worker import Worker

    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)-7s %(message)s", datefmt="%Y-%m-%d %H:%M:%S%z"
    )
    for chatty in ("procrastinate", "asyncio", "psycopg.pool"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    release = version("orchestrator")
    with observing.observed(drivers, concurrency=concurrency, version=release) as watched:
        working = Worker(
            drivers,
            concurrency=concurrency,
            version=release,
            ticks=wiring.ticks(watched.observer),
            calls=wiring.calls(watched.observer),
            observer=watched.observer,
        )
        watched.listen(working)
        _until_stopped(drivers, working, concurrency)


def _until_stopped(drivers: Drivers, working: "Worker", concurrency: int) -> None:
    def stop(_signum: int, _frame: FrameType | None) -> None:
        for again in (signal.SIGINT, signal.SIGTERM):  # ends this process; its runs' supervisors then end theirs
            signal.signal(again, signal.SIG_DFL)
        console.say("Draining: runs go on until they have committed state. Once more stops them at once.")
        working.drain()

    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, stop)
    console.say(f"Worker {drivers.worker.name}, {concurrency} runs at once. Ctrl-C drains and ends it.")
    working.work()
    console.say("Every run has ended or was given back.")
