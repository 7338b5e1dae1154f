"""Use cases of runs, in the order of a life: request, execute, watch, cancel, recover; queue and workers; and state."""

from orchestrator.domains.runs.service.executing import execute
from orchestrator.domains.runs.service.exporting import export
from orchestrator.domains.runs.service.forecasting import forecast
from orchestrator.domains.runs.service.pausing import look_back, paused, resume
from orchestrator.domains.runs.service.pruning import LEAST_KEPT, clearer, prune, pruner
from orchestrator.domains.runs.service.queueing import dispatch, enqueue, strike_off_dead, submit, under_way, waiting
from orchestrator.domains.runs.service.requesting import (
    cancel,
    counts,
    find,
    listing,
    logs,
    newest_successes,
    phases,
    recover,
    request,
    retry,
)
from orchestrator.domains.runs.service.retrying import reset_retries, retries, set_retries
from orchestrator.domains.runs.service.scratching import clear, discard
from orchestrator.domains.runs.service.states import history, reset, rollback, show
from orchestrator.domains.runs.service.working import (
    Follower,
    beat,
    died_here,
    figures,
    join,
    leave,
    look_after,
    take,
    totals,
    workers,
)

__all__ = [
    "LEAST_KEPT",
    "Follower",
    "beat",
    "cancel",
    "clear",
    "clearer",
    "counts",
    "died_here",
    "discard",
    "dispatch",
    "enqueue",
    "execute",
    "export",
    "figures",
    "find",
    "forecast",
    "history",
    "join",
    "leave",
    "listing",
    "logs",
    "look_after",
    "look_back",
    "newest_successes",
    "paused",
    "phases",
    "prune",
    "pruner",
    "recover",
    "request",
    "reset",
    "reset_retries",
    "resume",
    "retries",
    "retry",
    "rollback",
    "set_retries",
    "show",
    "strike_off_dead",
    "submit",
    "take",
    "totals",
    "under_way",
    "waiting",
    "workers",
]
