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
