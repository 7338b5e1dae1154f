"""What every command of this domain begins with: the drivers, where we are, and which integration is meant."""

import shlex
from typing import Annotated

import typer

from orchestrator.domains.identity import service as identity
from orchestrator.domains.identity.types import Place
from orchestrator.domains.integrations import service
from orchestrator.domains.integrations.types import Integration
from orchestrator.drivers.bundle import Drivers
from orchestrator.drivers.inject import of_command

Wanted = Annotated[str, typer.Argument(metavar="INTEGRATION", help="Name, id, or the beginning of an id.")]


def here(context: typer.Context) -> tuple[Drivers, Place]:
    """The drivers, and the organization the command line works in."""
    drivers = of_command(context)
    return drivers, identity.find(drivers.db, drivers.settings.organization)


def found(context: typer.Context, wanted: str, *, deleted: bool = False) -> tuple[Drivers, Integration]:
    """The drivers, and the integration that is meant."""
    drivers, place = here(context)
    return drivers, service.find(drivers, place.org_id, wanted, deleted=deleted)


def command(*words: str) -> str:
    """A command to copy."""
    return f"orchestrator {shlex.join(words)}"
