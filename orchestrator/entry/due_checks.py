"""Connections that are due are checked several at once: one that takes its time holds up no other."""

import logging
import threading
from time import monotonic

from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.types import Integration
from orchestrator.drivers.bundle import Drivers
from orchestrator.entry.observing.observer import Observer
from orchestrator.kernel.db import DatabaseAwayError
from orchestrator.kernel.errors import OrchestratorError

log = logging.getLogger(__name__)
AT_ONCE = 8  # checks of a worker: they wait for answers mostly, and leave the machine to its runs
_TURN = 1.0  # seconds


class Checks:
    """Makes checks that are due, for a second; those under way then go on by themselves, also into the next turns.

    The threads end with the process, so that a worker that stops waits for nobody's answer; what it leaves unmade is
    due again soon, by its claim.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._free = threading.Semaphore(AT_ONCE)
        self._served = ""  # the organization whose turn was last

    def __call__(self, drivers: Drivers) -> None:
        """Begin as many as are due and have a place. Raises what claiming does, such as DatabaseAwayError."""
        until = monotonic() + _TURN
        while (left := until - monotonic()) > 0 and self._free.acquire(timeout=left):
            try:
                due = integrations.claim_check(drivers, after=self._served)
                if due is not None:
                    threading.Thread(target=self._make, args=(drivers, due), name="check", daemon=True).start()
            except BaseException:
                self._free.release()
                raise
            if due is None:
                self._free.release()
                return
            self._served = due.org_id

    def _make(self, drivers: Drivers, due: Integration) -> None:
        try:
            self._observer.checked(due, integrations.look_in(drivers, due))
        except DatabaseAwayError:
            pass  # whoever claims says so
        except OrchestratorError as error:
            log.warning("%s could not be checked: %s %s", due.id, error.message, error.hint)
        except Exception:  # what is wrong with one must not end the others
            log.exception("%s could not be checked.", due.id)
        finally:
            self._free.release()
