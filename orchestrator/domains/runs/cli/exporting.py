"""`orchestrator export`: a project for Meltano alone."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.domains.identity import service as identity
from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.runs import service
from orchestrator.drivers.inject import of_command
from orchestrator.kernel import console
from orchestrator.kernel.console import Json


def export(
    context: typer.Context,
    integration: Annotated[str, typer.Argument(metavar="INTEGRATION", help="Name, id, or the beginning of an id.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write it: new, or empty.")],
    *,
    as_json: Json = False,
) -> None:
    """Write an integration as a project for Meltano alone.

    Plugins, settings, selected streams and state: all that is needed to go on without Orchestrator. Secrets stay here;
    the project names the variables to fill in.
    """
    drivers = of_command(context)
    place = identity.find(drivers.db, drivers.settings.organization)
    found = integrations.find(drivers, place.org_id, integration)
    variables = service.export(drivers, found, folder)
    if as_json:
        console.show_json({"folder": str(folder.absolute()), "variables": variables})
        return
    console.show_lines(str(folder))
    if variables:
        console.say(f"Fill in {folder / '.env'}: {', '.join(variables)}.")
    console.say(f"How to run it: {folder / 'README.md'}")
    off = f"orchestrator integrations disable {shlex.quote(found.name)}"
    console.say(f"Two that sync into the same tables are one too many. Before you run it: {off}")
