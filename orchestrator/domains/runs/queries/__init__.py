"""All SQL about runs: rows in, values out; the database settles races."""

from orchestrator.domains.runs.queries.installation import home, installation, pause, paused, resume, settle_in
from orchestrator.domains.runs.queries.notes import loader_notes, save_loader_notes
from orchestrator.domains.runs.queries.pruning import prune
from orchestrator.domains.runs.queries.queue import dispatch, enqueue, place, requeue_unclaimed
from orchestrator.domains.runs.queries.records import (
    add_logs,
    counts,
    last_log_id,
    logs,
    phases,
    save_counts,
    save_phases,
)
from orchestrator.domains.runs.queries.retries import forget_retry_policy, retry_policy, save_retry_policy
from orchestrator.domains.runs.queries.runs import (
    ONE_ACTIVE,
    active_run,
    active_runs,
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
from orchestrator.domains.runs.queries.samples import samples
from orchestrator.domains.runs.queries.scratches import note_scratch, scratches
from orchestrator.domains.runs.queries.states import (
    append_backfill_state,
    append_state,
    backfill_state,
    current_state,
    read_since,
    set_state,
    state_as_of,
    state_history,
    written_before,
)
from orchestrator.domains.runs.queries.successes import newest_successes
from orchestrator.domains.runs.queries.totals import totals
from orchestrator.domains.runs.queries.workers import beat, figures, forget_silent, register, strike_off, workers

__all__ = [
    "ONE_ACTIVE",
    "active_run",
    "active_runs",
    "add_logs",
    "append_backfill_state",
    "append_state",
    "ask_to_cancel",
    "attempt",
    "backfill_state",
    "beat",
    "claim",
    "counts",
    "current_state",
    "dispatch",
    "enqueue",
    "figures",
    "forget_retry_policy",
    "forget_silent",
    "hold",
    "home",
    "insert_run",
    "installation",
    "last_log_id",
    "loader_notes",
    "logs",
    "newest_successes",
    "note_scratch",
    "open_attempts",
    "pause",
    "paused",
    "phases",
    "place",
    "prune",
    "put_back",
    "read_since",
    "register",
    "requeue_unclaimed",
    "resume",
    "retry_policy",
    "run",
    "runs",
    "runs_like",
    "samples",
    "save_counts",
    "save_loader_notes",
    "save_phases",
    "save_retry_policy",
    "scratches",
    "set_state",
    "settle",
    "settle_in",
    "state_as_of",
    "state_history",
    "strike_off",
    "totals",
    "workers",
    "written_before",
]
