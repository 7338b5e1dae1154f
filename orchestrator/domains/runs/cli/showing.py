"""Runs and their parts in words and in JSON."""

from datetime import timedelta
from typing import Any

from orchestrator.domains.integrations.types import Destination, Integration
from orchestrator.domains.runs import rules
from orchestrator.domains.runs.types import (
    Explanation,
    Failure,
    Fixer,
    LogEntry,
    Run,
    RunStatus,
    StateEntry,
    StateMove,
    StreamCount,
)
from orchestrator.kernel import durations

MARKS = {
    RunStatus.QUEUED: "○ queued",
    RunStatus.RUNNING: "◐ running",
    RunStatus.RETRYING: "◐ retrying",
    RunStatus.CANCELLING: "◐ cancelling",
    RunStatus.SUCCEEDED: "● succeeded",
    RunStatus.PARTIAL: "⚠ partial",
    RunStatus.FAILED: "× failed",
    RunStatus.CANCELLED: "× cancelled",
    RunStatus.TIMED_OUT: "× timed out",
}

FIXERS = {
    Fixer.SOURCE_ADMIN: "an admin of the source",
    Fixer.WAREHOUSE_ADMIN: "an admin of the destination",
    Fixer.OPERATOR: "whoever runs this installation",
    Fixer.NOBODY: "nobody: it passes by itself",
}


def seconds(run: Run) -> float | None:
    """How long it took; None while it goes on."""
    if run.started_at is None or run.finished_at is None:
        return None
    return (run.finished_at - run.started_at).total_seconds()


def pruned(run: Run, keep: timedelta) -> str:
    """That what a run said and counted was removed, and by which policy; empty where it wasn't. keep: as it is set."""
    if run.pruned_at is None or run.finished_at is None:
        return ""
    age = run.pruned_at - run.finished_at
    said = f"What {run.id} said and counted was removed {run.pruned_at:%Y-%m-%d}, {age.days} days after its end"
    setting = f"ORCHESTRATOR_RUNS__KEEP, {durations.spoken(keep)}"
    if age >= keep:
        return f"{said}: workers remove what is older than {setting}."
    return f"{said}: by orchestrator runs prune, or while it was shorter than now ({setting})."


def run_json(run: Run, name: str | None, counts: tuple[StreamCount, ...] = ()) -> dict[str, Any]:
    """A run as one document."""
    return {
        "id": run.id,
        "integration": {"id": run.integration_id, "name": name},
        "kind": run.kind,
        "window": None if run.window is None else {"since": run.window.since, "until": run.window.until},
        "scratch_schema": run.scratch_schema,
        "status": run.status,
        "trigger": run.trigger,
        "full_refresh": run.full_refresh,
        "retry_of": run.retry_of,
        "requested_at": run.requested_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "pruned_at": run.pruned_at,
        "seconds": seconds(run),
        "failure": failure_json(run.failure),
        "streams": [count_json(count) for count in counts],
    }


def explanation_json(explanation: Explanation) -> dict[str, Any]:
    """Why a run is where it is."""
    return {
        "cause": explanation.cause,
        "who": explanation.who,
        "what_to_do": explanation.todo,
        "said": explanation.said or None,
    }


def failure_json(failure: Failure | None) -> dict[str, Any] | None:
    """Why a run didn't succeed."""
    if failure is None:
        return None
    return {
        "kind": failure.kind,
        "origin": failure.origin,
        "message": failure.message,
        "hint": failure.hint,
        "retryable": failure.retryable,
        "signature": failure.signature,
    }


def count_json(count: StreamCount) -> dict[str, Any]:
    """What was moved of one stream."""
    return {
        "stream": count.stream,
        "read": count.read,
        "written": count.written,
        "deleted": count.deleted,
        "rejected": count.rejected,
        "bytes": count.bytes,
        "seconds": round(count.seconds, 1),
        "records_per_second": None if count.rate is None else round(count.rate, 1),
        "api_calls": count.api_calls,
    }


def log_json(entry: LogEntry) -> dict[str, Any]:
    """A line of a log; `cursor` is where to go on from."""
    return {
        "cursor": entry.id,
        "at": entry.at,
        "level": entry.level,
        "source": entry.source,
        "message": entry.message,
    }


def state_json(entry: StateEntry) -> dict[str, Any]:
    """A bookmark."""
    return {
        "id": entry.id,
        "stream": stream_name(entry.stream),
        "position": rules.position(entry.bookmark),
        "bookmark": entry.bookmark,
        "reason": entry.reason,
        "run_id": entry.run_id,
        "at": entry.at,
    }


def move_json(move: StateMove) -> dict[str, Any]:
    """What a rollback or reset does to one stream."""
    return {
        "stream": stream_name(move.stream),
        "from": rules.position(move.before),
        "to": rules.position(move.after),
        "reread": move.reread,
    }


def stream_name(stream: str) -> str:
    """A stream's name; what a tap keeps outside of any stream has none."""
    return stream or "(whole tap)"


def where(integration: Integration, destination: Destination) -> str:
    """Where its records are, for people."""
    if "folder" in destination.config:
        return f"folder {destination.config['folder']}/{integration.target_schema} of {destination.name}"
    return f"schema {integration.target_schema} of {destination.name}"
