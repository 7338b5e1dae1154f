"""The command line's door to integrations: add, integrations, test, discover, streams, render."""

import typer

from orchestrator.domains.integrations.cli import adding, checking, editing, listing, rendering, streams


def mount(app: typer.Typer) -> None:
    """Add the commands of this domain."""
    app.command("add")(adding.add)
    group = typer.Typer(no_args_is_help=True, help="List, change, disable and delete what is connected.")
    group.command("list")(listing.list_)
    group.command("show")(listing.show)
    group.command("edit")(editing.edit)
    group.command("enable")(listing.enable)
    group.command("disable")(listing.disable)
    group.command("delete")(listing.delete)
    group.command("restore")(listing.restore)
    app.add_typer(group, name="integrations")
    app.command("test")(checking.test)
    app.command("discover")(checking.discover)
    app.command("streams")(streams.streams)
    app.command("render")(rendering.render)
