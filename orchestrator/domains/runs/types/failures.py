"""Why a run did not simply succeed, who can do something about it, and when it gets another attempt."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class FailureKind(StrEnum):
    """Why, in the words that decide who acts and whether trying again helps."""

    CONFIG_ERROR = "config_error"
    AUTH_EXPIRED = "auth_expired"
    PERMISSION_MISSING = "permission_missing"
    RATE_LIMITED = "rate_limited"
    SOURCE_ERROR = "source_error"
    DESTINATION_ERROR = "destination_error"
    SCHEMA_VIOLATION = "schema_violation"
    CONSENT_MISSING = "consent_missing"
    QUOTA_EXCEEDED = "quota_exceeded"
    TIMEOUT = "timeout"
    WORKER_LOST = "worker_lost"
    INTERNAL = "internal"


class Origin(StrEnum):
    """Whose side it is on."""

    SOURCE = "source"
    DESTINATION = "destination"
    PLATFORM = "platform"


class Remedy(StrEnum):
    """What a plugin may say helps, where the kind of its failure doesn't tell: `remedy` of what it announces."""

    FULL_REFRESH = "full_refresh"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a run didn't simply succeed, in words for people.

    retry_after: seconds the source asked to be left alone
    signature:   which known error line it was, where it was one
    """

    kind: FailureKind
    origin: Origin
    message: str
    hint: str = ""
    retryable: bool = False
    retry_after: float | None = None
    signature: str | None = None


class Fixer(StrEnum):
    """Who can do something about a failure; nobody where waiting is all there is to do."""

    SOURCE_ADMIN = "source_admin"
    WAREHOUSE_ADMIN = "warehouse_admin"
    OPERATOR = "operator"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a run is where it is, for people. `said` is the line it was known by; empty where nothing failed."""

    cause: str
    who: Fixer
    todo: str
    said: str = ""


# Failures that another attempt can mend; all others need a person.
PASSING = frozenset(FailureKind) - {
    FailureKind.CONFIG_ERROR,
    FailureKind.AUTH_EXPIRED,
    FailureKind.PERMISSION_MISSING,
    FailureKind.CONSENT_MISSING,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When a detached run gets another attempt.

    attempts: of a run at most; 1: it is never tried again
    backoff:  before the second attempt; doubles with each one after
    longest:  what it grows to at most
    kinds:    of failures that are worth another attempt, of PASSING
    """

    attempts: int
    backoff: timedelta
    longest: timedelta
    kinds: frozenset[FailureKind] = PASSING


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnRetryPolicy:
    """What an organization has set of it; None is the operator's."""

    attempts: int | None = None
    backoff: timedelta | None = None
    longest: timedelta | None = None
    kinds: frozenset[FailureKind] | None = None
