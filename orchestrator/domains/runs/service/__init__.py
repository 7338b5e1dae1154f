"""Use cases of runs, in the order of a life: request, execute, watch, cancel, recover; and state."""

from orchestrator.domains.runs.service.executing import execute
from orchestrator.domains.runs.service.queueing import dispatch, enqueue
from orchestrator.domains.runs.service.requesting import cancel, counts, find, listing, logs, recover, request
from orchestrator.domains.runs.service.states import history, reset, rollback, show

__all__ = [
    "cancel",
    "counts",
    "dispatch",
    "enqueue",
    "execute",
    "find",
    "history",
    "listing",
    "logs",
    "recover",
    "request",
    "reset",
    "rollback",
    "show",
]
