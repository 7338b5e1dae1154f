"""The command line's door to runs: sync, backfill, plan, export, runs, retries, state, workers."""

import typer

from orchestrator.domains.runs.cli import backfill, exporting, plan, retries, runs, state, sync, workers


def mount(app: typer.Typer) -> None:
    """Add the commands of this domain."""
    app.command("sync")(sync.sync)
    app.command("backfill")(backfill.backfill)
    app.command("plan")(plan.plan)
    app.command("export")(exporting.export)
    app.add_typer(runs.app, name="runs")
    app.add_typer(retries.app, name="retries")
    app.command("state")(state.state)
    app.add_typer(workers.app, name="workers")
