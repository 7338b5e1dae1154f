"""Runs as values: status, failure, what was moved, what was said, and the history of state."""

from orchestrator.domains.runs.types.failures import (
    PASSING,
    Explanation,
    Failure,
    FailureKind,
    Fixer,
    Origin,
    OwnRetryPolicy,
    Remedy,
    RetryPolicy,
)
from orchestrator.domains.runs.types.forecasts import Forecast, Sample, StreamForecast, Unknown
from orchestrator.domains.runs.types.queue import Home, Installation, PlaceInLine, QueueFigures, Worker
from orchestrator.domains.runs.types.records import PHASES, LogEntry, Progress, RunTotal, StreamCount
from orchestrator.domains.runs.types.runs import Attempt, OpenAttempt, Run, RunKind, RunRequest, RunStatus, Success
from orchestrator.domains.runs.types.states import StateEntry, StateMove

__all__ = [
    "PASSING",
    "PHASES",
    "Attempt",
    "Explanation",
    "Failure",
    "FailureKind",
    "Fixer",
    "Forecast",
    "Home",
    "Installation",
    "LogEntry",
    "OpenAttempt",
    "Origin",
    "OwnRetryPolicy",
    "PlaceInLine",
    "Progress",
    "QueueFigures",
    "Remedy",
    "RetryPolicy",
    "Run",
    "RunKind",
    "RunRequest",
    "RunStatus",
    "RunTotal",
    "Sample",
    "StateEntry",
    "StateMove",
    "StreamCount",
    "StreamForecast",
    "Success",
    "Unknown",
    "Worker",
]
