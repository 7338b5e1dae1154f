"""Whether a worker lives, and whether it can take runs."""

from http import HTTPStatus
from typing import Protocol

from orchestrator.drivers.bundle import Drivers
from orchestrator.entry.observing.probes import Page, document
from orchestrator.kernel.db import DatabaseAwayError
from orchestrator.kernel.errors import OrchestratorError
from orchestrator.migrations import runner

_WEAKEST = "process_group"  # where neither namespaces nor a subreaper are to be had


class Lives(Protocol):
    """What a worker says of itself."""

    @property
    def alive(self) -> bool:
        """Whether it has kept house lately."""

    @property
    def draining(self) -> bool:
        """Whether it takes nothing new."""


def healthz(worker: Lives) -> Page:
    """Alive: restart it where it is not. Says nothing of the database, as restarting mends none."""

    def page() -> tuple[HTTPStatus, str, bytes]:
        alive = worker.alive
        return document(HTTPStatus.OK if alive else HTTPStatus.SERVICE_UNAVAILABLE, {"alive": alive})

    return page


def readyz(drivers: Drivers, worker: Lives) -> Page:
    """Ready: the database answers and fits this code, and it isn't draining; and how plugins are kept apart here."""
    isolation, apart = drivers.meltano.possible_isolation() or _WEAKEST, drivers.meltano.plugins_kept_apart()

    def page() -> tuple[HTTPStatus, str, bytes]:
        database, migrations = "ok", f"revision {runner.head()}"
        try:
            drivers.check(drivers.unchecked_db)
        except DatabaseAwayError:
            database, migrations = "away", "unknown"
        except OrchestratorError as error:
            migrations = error.code
        fits = database == "ok" and migrations.startswith("revision")
        ready = fits and not worker.draining
        checks = {
            "database": database,
            "migrations": migrations,
            "isolation": isolation,
            "plugins_kept_apart": apart,
            "draining": worker.draining,
        }
        return document(HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE, {"ready": ready, "checks": checks})

    return page
