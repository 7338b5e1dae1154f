"""Whether a run gets another attempt, and what it waits for."""

import random
from datetime import timedelta

from orchestrator.domains.runs.errors import RetryPolicyError
from orchestrator.domains.runs.types import (
    PASSING,
    Attempt,
    Failure,
    OwnRetryPolicy,
    PlaceInLine,
    RetryPolicy,
    RunStatus,
)
from orchestrator.kernel import durations

_JITTER = 0.2  # of the delay, either way
_MOST_ATTEMPTS = 20
_LONGEST = timedelta(days=7)


def needs_a_person(failure: Failure) -> bool:
    """Whether it stays so until somebody mends it: trying again, now or tomorrow, changes nothing."""
    return failure.kind not in PASSING


def effective(own: OwnRetryPolicy, operators: RetryPolicy) -> RetryPolicy:
    """The policy that holds: an organization's own where it set one. The growth is never capped below its beginning."""
    backoff = own.backoff or operators.backoff
    return RetryPolicy(
        attempts=own.attempts or operators.attempts,
        backoff=backoff,
        longest=max(own.longest or operators.longest, backoff),
        kinds=operators.kinds if own.kinds is None else own.kinds,
    )


def check(own: OwnRetryPolicy) -> None:
    """Raise RetryPolicyError where it can't be meant."""
    if own.attempts is not None and not 1 <= own.attempts <= _MOST_ATTEMPTS:
        raise RetryPolicyError(
            f"{own.attempts} attempts can't be meant.", hint=f"1 to {_MOST_ATTEMPTS}; 1 means no retry."
        )
    for length in (own.backoff, own.longest):
        if length is not None and length > _LONGEST:
            raise RetryPolicyError(f"{durations.spoken(length)} is too long to wait.", hint="Seven days at most.")
    if own.backoff is not None and own.longest is not None and own.longest < own.backoff:
        raise RetryPolicyError(
            f"Waits can't begin at {durations.spoken(own.backoff)} and end at {durations.spoken(own.longest)}.",
            hint="Let --longest be --backoff at least.",
        )
    if own.kinds is not None and (never := sorted(own.kinds - PASSING)):
        raise RetryPolicyError(
            f"Another attempt never mends {', '.join(never)}: somebody must act.",
            hint=f"Choose of {', '.join(sorted(PASSING))}.",
        )


def next_attempt(status: RunStatus, failure: Failure | None, attempt: Attempt, policy: RetryPolicy) -> timedelta | None:
    """How long a run waits for its next attempt; None where this was the last.

    The delay is spread by the run's id, so that runs that failed together don't come back together; one the source
    asked for is never shortened.
    """
    again = attempt.number and attempt.number < policy.attempts and status is RunStatus.FAILED and failure is not None
    if not again or not failure or not failure.retryable or failure.kind not in policy.kinds & PASSING:
        return None
    delay = min(policy.backoff * int(2 ** (attempt.number - 1)), policy.longest)
    spread = random.Random(f"{attempt.run_id}/{attempt.number}").uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - no secret
    return max(delay * spread, timedelta(seconds=failure.retry_after or 0))


def waits_for(place: PlaceInLine, *, total: int, per_org: int, per_provider: int) -> str:
    """Why a run doesn't begin yet, in words for people; the first reason that holds."""
    if place.slots == 0:
        return "no worker runs: orchestrator worker"
    if place.again_in is not None:
        attempts = "one attempt" if place.attempts == 1 else f"{place.attempts} attempts"
        return f"its next attempt is in {durations.spoken(place.again_in)}, after {attempts}"
    if place.busy >= min(place.slots, total):
        return f"all {min(place.slots, total):,} slots are taken"
    if place.org_busy >= per_org:
        return f"the organization has {place.org_busy:,} runs under way, which is its limit"
    if place.provider_busy >= per_provider:
        return f"{place.provider_busy:,} runs at this provider are under way, which is the limit"
    return "is handed to a worker next"
