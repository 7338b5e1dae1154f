"""What commands say about a database that nobody has confirmed since it was restored or copied."""

from orchestrator.domains.runs import service
from orchestrator.drivers.bundle import Drivers
from orchestrator.kernel import console


def unconfirmed(drivers: Drivers) -> bool:
    """Whether nothing may be done in this database yet; then says why, and what to call."""
    because = service.look_back(drivers)
    if because is None:
        return False
    console.say(f"Nothing is begun or ended, since {because}.")
    console.say("Workers are paused. Look at what came back, then let them go on: orchestrator workers resume")
    return True


def look_after(drivers: Drivers) -> None:
    """End runs whose worker is gone, so that what is shown holds; in an unconfirmed database say so instead."""
    if not unconfirmed(drivers):
        service.recover(drivers)
