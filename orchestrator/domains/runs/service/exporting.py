"""The way out: an integration as a project for Meltano alone."""

from pathlib import Path

from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.types import Integration
from orchestrator.domains.runs import rules
from orchestrator.domains.runs.errors import FolderTakenError
from orchestrator.domains.runs.service.states import show
from orchestrator.drivers.bundle import Drivers
from orchestrator.drivers.meltano import plain


def export(drivers: Drivers, integration: Integration, folder: Path) -> tuple[str, ...]:
    """Write the project, its state with it; the variables, for secrets, that are to be filled in there.

    No secret is opened. Raises FolderTakenError, RunStorageError, and NothingSelectedError and its like.
    """
    if not plain.is_free(folder):
        raise FolderTakenError(folder)
    tap, target, catalog = integrations.plain_plugins(drivers, integration, folder=plain.BATCHES, hidden=plain.hidden)
    state = rules.singer_state({one.stream: one.bookmark for one in show(drivers, integration) if one.bookmark})
    return plain.write(folder, (tap, target), title=integration.name, catalog=catalog, state=state)
