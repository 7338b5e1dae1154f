"""Rows of runs as values."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row

from orchestrator.domains.runs.tables import RunRow
from orchestrator.domains.runs.types import Failure, FailureKind, Origin, Run, RunStatus


def _failure(stored: Mapping[str, Any] | None) -> Failure | None:
    if stored is None:
        return None
    return Failure(**{**stored, "kind": FailureKind(stored["kind"]), "origin": Origin(stored["origin"])})


def as_run(row: RunRow | Row[Any]) -> Run:
    """A row as a value."""
    return Run(
        org_id=row.org_id,
        id=row.id,
        integration_id=row.integration_id,
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
    )
