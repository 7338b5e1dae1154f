"""Facts about integrations that others may react to."""

from dataclasses import dataclass
from typing import ClassVar

from orchestrator.kernel.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationAdded(Event):
    """Somebody configured a connector."""

    name: ClassVar[str] = "integration.added.v1"
    integration_id: str
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationChanged(Event):
    """Its configuration, switch or selection changed; `what` says which."""

    name: ClassVar[str] = "integration.changed.v1"
    integration_id: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthChanged(Event):
    """Its health is another than before; `reason` is what was wrong last, empty where it is well."""

    name: ClassVar[str] = "integration.health_changed.v1"
    integration_id: str
    before: str
    health: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DisableWarned(Event):
    """Its syncs fail in a way that only a person can mend; after so many of them it will be disabled.

    failures, limit:  how many there were, and how many disable it
    hint:             what to do
    """

    name: ClassVar[str] = "integration.disable_warned.v1"
    integration_id: str
    failures: int
    limit: int
    reason: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationDisabled(Event):
    """It was switched off by itself, after failures that a person must mend; by hand it is `integration.changed`."""

    name: ClassVar[str] = "integration.disabled.v1"
    integration_id: str
    failures: int
    reason: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationDeleted(Event):
    """It was deleted; it can be restored."""

    name: ClassVar[str] = "integration.deleted.v1"
    integration_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationTested(Event):
    """A connection test ended."""

    name: ClassVar[str] = "integration.tested.v1"
    integration_id: str
    passed: bool
