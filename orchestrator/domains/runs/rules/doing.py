"""What a run does, in words for people."""

from orchestrator.domains.runs.rules.windows import spoken
from orchestrator.domains.runs.types import Run, RunKind

_DOING = {RunKind.SYNC: "Syncing", RunKind.BACKFILL: "Backfilling", RunKind.DRY_RUN: "Trying out"}


def doing(run: Run) -> str:
    """What it does, before the names of its streams: `Backfilling from 2024-01-01 to 2024-06-01:`."""
    return f"{_DOING[run.kind]} {during(run)}:" if run.window else _DOING[run.kind]


def during(run: Run) -> str:
    """The window it reads; empty where it has none."""
    return f"from {spoken(run.window.since)} to {spoken(run.window.until)}" if run.window else ""


def kind(run: Run) -> str:
    """Its kind as a word: `dry run`."""
    return run.kind.value.replace("_", " ")
