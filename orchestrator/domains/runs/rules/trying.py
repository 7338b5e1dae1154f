"""Whether a run is tried again, and what it waits for."""

import random
from datetime import timedelta

from orchestrator.domains.runs.types import Attempt, Failure, FailureKind, PlaceInLine, RunStatus
from orchestrator.kernel import durations

_LONGEST_WAIT = timedelta(hours=1)
_JITTER = 0.2  # of the delay, either way
_NEED_A_PERSON = frozenset(
    {FailureKind.CONFIG_ERROR, FailureKind.AUTH_EXPIRED, FailureKind.PERMISSION_MISSING, FailureKind.CONSENT_MISSING}
)


def needs_a_person(failure: Failure) -> bool:
    """Whether it stays so until somebody mends it: trying again, now or tomorrow, changes nothing."""
    return failure.kind in _NEED_A_PERSON


def next_try(
    status: RunStatus, failure: Failure | None, attempt: Attempt, *, attempts: int, backoff: timedelta
) -> timedelta | None:
    """How long a run waits for its next try; None where this was the last.

    attempts: tries of a run at most
    backoff:  before the second try; doubles with each one after

    The delay is spread by the run's id, so that runs that failed together don't come back together; one the source
    asked for is never shortened.
    """
    again = attempt.number and attempt.number < attempts and status is RunStatus.FAILED and failure is not None
    if not again or not failure or not failure.retryable or needs_a_person(failure):
        return None
    delay = min(backoff * int(2 ** (attempt.number - 1)), _LONGEST_WAIT)
    spread = random.Random(f"{attempt.run_id}/{attempt.number}").uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - no secret
    return max(delay * spread, timedelta(seconds=failure.retry_after or 0))


def waits_for(place: PlaceInLine, *, total: int, per_org: int, per_provider: int) -> str:
    """Why a run doesn't begin yet, in words for people; the first reason that holds."""
    if place.slots == 0:
        return "no worker runs: orchestrator worker"
    if place.again_in is not None:
        tries = "one try" if place.attempts == 1 else f"{place.attempts} tries"
        return f"is tried again in {durations.spoken(place.again_in)}, after {tries}"
    if place.busy >= min(place.slots, total):
        return f"all {min(place.slots, total):,} slots are taken"
    if place.org_busy >= per_org:
        return f"the organization has {place.org_busy:,} runs under way, which is its limit"
    if place.provider_busy >= per_provider:
        return f"{place.provider_busy:,} runs at this provider are under way, which is the limit"
    return "is handed to a worker next"
