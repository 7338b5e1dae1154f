"""What needs attention, as values."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from orchestrator.domains.integrations.types import HealthFacts, Integration


class Cause(StrEnum):
    """Why an integration needs attention, the most pressing first."""

    DISABLED = "disabled_by_failures"
    SIGN_IN = "needs_reauth"
    FAILING = "failing"
    LATE = "late"
    DEGRADED = "degraded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """What somebody should look at, in words, and the command to begin with."""

    cause: Cause
    why: str
    todo: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How new an integration's data is, held against what its schedules promise.

    as_of:  the newest sync that a schedule waited for began then; None where there was none
    due:    when the next one is to be there at the latest
    """

    as_of: datetime | None
    due: datetime
    late: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """An integration, and all that is known of how it is. `freshness` is None where no schedule promises anything."""

    integration: Integration
    facts: HealthFacts
    freshness: Freshness | None
    attention: Attention | None
