"""The command line's door to schedules."""

import typer

from orchestrator.domains.schedules.cli import changing, exporting, looking


def mount(app: typer.Typer) -> None:
    """Add the commands of this domain."""
    group = typer.Typer(no_args_is_help=True, help="Let syncs start by themselves, by the clock or by events.")
    group.command("add")(changing.add)
    group.command("list")(looking.list_)
    group.command("show")(looking.show)
    group.command("preview")(looking.preview)
    group.command("edit")(changing.edit)
    group.command("pause")(changing.pause)
    group.command("resume")(changing.resume)
    group.command("delete")(changing.delete)
    group.command("export")(exporting.export)
    app.add_typer(group, name="schedules")
