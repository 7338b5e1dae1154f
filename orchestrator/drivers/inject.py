"""How a command of any domain gets at the drivers that entry built."""

import typer

from orchestrator.drivers.bundle import Drivers


def of_command(context: typer.Context) -> Drivers:
    """The drivers of this call of the command line; closed when the command ends."""
    drivers = context.find_object(Drivers)
    if drivers is None:  # pragma: no cover - entry always provides them
        raise RuntimeError("commands are run by orchestrator.entry.main")
    return drivers
