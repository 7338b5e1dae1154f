"""Puts the system together: settings from the environment, drivers from the settings, and what must hold before use."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from orchestrator.drivers.bundle import Drivers
from orchestrator.kernel import environment
from orchestrator.kernel.db import Database
from orchestrator.migrations import runner

if TYPE_CHECKING:
    from orchestrator.entry.observing.observer import Observer


def drivers() -> Drivers:
    """The outside as this environment has it; nothing is connected or started yet."""
    return Drivers(settings=environment.load(), check=_fits)


def ticks(observer: "Observer") -> tuple[Callable[[Drivers], object], ...]:
    """What every worker does each second, besides dispatching runs."""
    from orchestrator.domains.health import service as health
    from orchestrator.domains.runs import service as runs
    from orchestrator.domains.schedules import service as schedules

    return (lambda drivers: observer.fired(schedules.fire_due(drivers)), runs.pruner(), health.note_freshness)


def calls(observer: "Observer") -> tuple[Callable[[Drivers], object], ...]:
    """What every worker does each second that waits for others' answers."""
    from orchestrator.domains.runs import service as runs
    from orchestrator.entry.due_checks import Checks

    return (Checks(observer), runs.clearer())


def _fits(db: Database) -> None:
    """Refuse a database this code doesn't fit."""
    with db.connection() as connection:
        runner.check(connection)
