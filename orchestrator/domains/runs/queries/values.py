"""Rows of runs as values."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from orchestrator.domains.integrations.types import Window
from orchestrator.domains.runs.tables import RunRow
from orchestrator.domains.runs.types import Failure, FailureKind, Origin, Run, RunKind, RunStatus


def _failure(stored: Mapping[str, Any] | None) -> Failure | None:
    if stored is None:
        return None
    return Failure(**{**stored, "kind": FailureKind(stored["kind"]), "origin": Origin(stored["origin"])})


def _window(since: datetime | None, until: datetime | None) -> Window | None:
    return None if since is None or until is None else Window(since=since, until=until)


def as_run(row: RunRow | Row[Any]) -> Run:
    """A row as a value."""
    return Run(
        org_id=row.org_id,
        id=row.id,
        integration_id=row.integration_id,
        kind=RunKind(row.kind),
        status=RunStatus(row.status),
        trigger=row.trigger,
        streams=None if row.streams is None else tuple(row.streams),
        full_refresh=row.full_refresh,
        timeout=row.timeout,
        detached=row.detached,
        epoch=row.epoch,
        failure=_failure(row.failure),
        requested_at=row.requested_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        retry_of=row.retry_of,
        window=_window(row.window_since, row.window_until),
        scratch_schema=row.scratch_schema,
        keep_scratch=row.keep_scratch,
        pruned_at=row.pruned_at,
    )
