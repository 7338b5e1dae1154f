"""Decisions about runs: how one ended, why, and what its state means. No clock, no I/O but our own data files."""

from orchestrator.domains.runs.rules.attempts import check, effective, needs_a_person, next_attempt, waits_for
from orchestrator.domains.runs.rules.bookmarks import (
    WHOLE_TAP,
    bookmarks_of,
    changed,
    position,
    singer_state,
    state_of,
    unknown,
    without,
)
from orchestrator.domains.runs.rules.doing import doing, during, kind
from orchestrator.domains.runs.rules.explaining import explained
from orchestrator.domains.runs.rules.failing import addressed, explain, refused, sign_in_works, worker_lost
from orchestrator.domains.runs.rules.forecasting import forecast
from orchestrator.domains.runs.rules.judging import judge, merged, stalled
from orchestrator.domains.runs.rules.outcome import Outcome
from orchestrator.domains.runs.rules.windows import window

__all__ = [
    "WHOLE_TAP",
    "Outcome",
    "addressed",
    "bookmarks_of",
    "changed",
    "check",
    "doing",
    "during",
    "effective",
    "explain",
    "explained",
    "forecast",
    "judge",
    "kind",
    "merged",
    "needs_a_person",
    "next_attempt",
    "position",
    "refused",
    "sign_in_works",
    "singer_state",
    "stalled",
    "state_of",
    "unknown",
    "waits_for",
    "window",
    "without",
    "worker_lost",
]
