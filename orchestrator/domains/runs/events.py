"""Facts about runs that others may react to."""

from dataclasses import dataclass
from typing import Any, ClassVar

from orchestrator.kernel.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """A worker began an attempt."""

    name: ClassVar[str] = "run.started.v1"
    run_id: str
    integration_id: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRetrying(Event):
    """An attempt ended, and the run waits for another; `failure` is empty where a worker only gave it back."""

    name: ClassVar[str] = "run.retrying.v1"
    run_id: str
    integration_id: str
    kind: str
    attempt: int
    seconds: float
    failure: dict[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded(Event):
    """A run reached its end, once; `status` says which. Schedules after another integration wait for its syncs."""

    name: ClassVar[str] = "run.ended.v1"
    run_id: str
    integration_id: str
    kind: str
    status: str
    failure: dict[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicyChanged(Event):
    """An organization set when its runs are tried again, or gave it back to the operator."""

    name: ClassVar[str] = "retry_policy.changed.v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChanged(Event):
    """A person rolled state back or reset it."""

    name: ClassVar[str] = "state.changed.v1"
    integration_id: str
    streams: list[str]
    reason: str
