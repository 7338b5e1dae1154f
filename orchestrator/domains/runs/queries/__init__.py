"""All SQL about runs: rows in, values out; the database settles races."""

from orchestrator.domains.runs.queries.queue import dispatch, enqueue, requeue_unclaimed
from orchestrator.domains.runs.queries.records import add_logs, counts, last_log_id, logs, save_counts
from orchestrator.domains.runs.queries.runs import (
    active_run,
    ask_to_cancel,
    attempt,
    claim,
    hold,
    insert_run,
    open_attempts,
    put_back,
    run,
    runs,
    runs_like,
    settle,
)
from orchestrator.domains.runs.queries.states import (
    append_state,
    current_state,
    read_since,
    set_state,
    state_as_of,
    state_history,
)

__all__ = [
    "active_run",
    "add_logs",
    "append_state",
    "ask_to_cancel",
    "attempt",
    "claim",
    "counts",
    "current_state",
    "dispatch",
    "enqueue",
    "hold",
    "insert_run",
    "last_log_id",
    "logs",
    "open_attempts",
    "put_back",
    "read_since",
    "requeue_unclaimed",
    "run",
    "runs",
    "runs_like",
    "save_counts",
    "set_state",
    "settle",
    "state_as_of",
    "state_history",
]
