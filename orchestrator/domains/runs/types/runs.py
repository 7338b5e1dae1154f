"""Runs and their attempts: what is asked for, what is done, and how it stands."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from orchestrator.domains.integrations.types import Window
from orchestrator.domains.runs.types.failures import Failure


class RunKind(StrEnum):
    """What a run does. An integration has at most one under way, whatever its kind.

    A backfill reads a window of the past once more, into the same tables; a dry run reads what a sync would, into a
    schema of its own. Neither moves the integration's state.
    """

    SYNC = "sync"
    BACKFILL = "backfill"
    DRY_RUN = "dry_run"


class RunStatus(StrEnum):
    """queued → running → an end; ends are never reopened."""

    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"

    @property
    def ended(self) -> bool:
        """Whether this is an end."""
        return self in _ENDS


_ENDS = {RunStatus.SUCCEEDED, RunStatus.PARTIAL, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.TIMED_OUT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One execution for an integration.

    window:          what a backfill reads; None for other kinds
    scratch_schema:  where a dry run loads, while that may be there
    keep_scratch:    whether it stays after the end
    pruned_at:       when what it said and counted was removed
    """

    org_id: str
    id: str
    integration_id: str
    status: RunStatus
    trigger: str
    streams: tuple[str, ...] | None
    full_refresh: bool
    timeout: timedelta
    detached: bool
    epoch: int
    failure: Failure | None
    requested_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    retry_of: str | None = None
    kind: RunKind = RunKind.SYNC
    window: Window | None = None
    scratch_schema: str | None = None
    keep_scratch: bool = False
    pruned_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """A run somebody wants, to be done by a worker.

    provider: whose limits apply: the type of the integration's connector
    streams:  these instead of the selected ones
    window:   what a backfill reads
    timeout:  of one attempt; None is the operator's
    retry_of: the ended run it does again; a backfill goes on where that one was
    """

    org_id: str
    integration_id: str
    provider: str
    trigger: str
    kind: RunKind = RunKind.SYNC
    window: Window | None = None
    keep_scratch: bool = False
    streams: tuple[str, ...] | None = None
    full_refresh: bool = False
    timeout: timedelta | None = None
    retry_of: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt at a run; its epoch guards lease, state and end. Logs and counts are kept whoever holds the run.

    number: which attempt it is, of those that count; 0 where nobody tries again by itself
    """

    org_id: str
    run_id: str
    integration_id: str
    epoch: int
    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAttempt:
    """An attempt nobody has ended yet; `lapsed` where its lease ran out."""

    org_id: str
    run_id: str
    epoch: int
    worker: str
    lapsed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Success:
    """When a sync that succeeded began and ended; what it loaded is as of its beginning."""

    began: datetime
    ended: datetime
