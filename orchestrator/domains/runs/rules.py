"""Decisions about runs: how one ended, why, and what its state means. No clock, no I/O."""

import json
import random
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from orchestrator.domains.oauth.errors import ReauthNeededError
from orchestrator.domains.runs.types import Attempt, Failure, FailureKind, Origin, PlaceInLine, RunStatus, StreamCount
from orchestrator.kernel import durations
from orchestrator.kernel.errors import (
    ActionNeededError,
    InvalidConfigError,
    NotAllowedError,
    OrchestratorError,
    TemporaryError,
)

_FAILURE = "FAILURE: "  # how taps of ours announce one, as JSON; source: README of taps/tap-salesforce
WHOLE_TAP = ""  # state a tap keeps outside of any stream is stored under this name


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was seen of a finished `meltano run`.

    exit_code:       the process's own; None where it was ended from outside
    side:            which side failed, as Meltano told; None where it told nothing
    states:          how many STATE messages came through the loader and were committed
    invalid_states:  how many STATE messages of the loader nobody could read
    counted:         whether both plugins count their records
    storage_full:    no space was left in the run's directory
    complaints:      error lines, the latest last, redacted
    """

    exit_code: int | None
    side: Origin | None = None
    cancelled: bool = False
    timed_out: bool = False
    states: int = 0
    invalid_states: int = 0
    counted: bool = True
    storage_full: bool = False
    counts: tuple[StreamCount, ...] = ()
    complaints: tuple[str, ...] = ()


def judge(outcome: Outcome, *, timeout: timedelta) -> tuple[RunStatus, Failure | None]:
    """How the run ended, and why.

    Exit status 0 can hide lost records, so success also needs every record read to be written, and the state to have
    come through the loader.
    """
    if outcome.cancelled:
        return RunStatus.CANCELLED, None
    if outcome.timed_out:
        return RunStatus.TIMED_OUT, Failure(
            kind=FailureKind.TIMEOUT,
            origin=Origin.PLATFORM,
            message=f"The run took longer than {durations.spoken(timeout)} and was stopped; what it committed is kept.",
            hint="The next sync goes on from there. Allow more with --timeout.",
            retryable=True,
        )
    if outcome.exit_code != 0 and outcome.storage_full:
        return RunStatus.FAILED, Failure(
            kind=FailureKind.INTERNAL,
            origin=Origin.PLATFORM,
            message="There was no space left in the run's directory.",
            hint="Make room there, or set ORCHESTRATOR_RUNS__DIRECTORY to a larger disk; then sync again.",
            retryable=True,
        )
    if outcome.exit_code != 0:
        return RunStatus.FAILED, explain(outcome)
    return _reconciled(outcome)


def _reconciled(outcome: Outcome) -> tuple[RunStatus, Failure | None]:
    read = sum(count.read for count in outcome.counts)
    if outcome.counted:
        differing = [count for count in outcome.counts if count.read != count.written]
        if differing:
            listing = ", ".join(
                f"{count.stream}: {count.read:,} read, {count.written:,} written" for count in differing
            )
            return RunStatus.PARTIAL, Failure(
                kind=FailureKind.DESTINATION_ERROR,
                origin=Origin.DESTINATION,
                message=f"Not every record arrived. {listing}.",
                hint="Look at the log for rejected records, then sync again; what arrived is kept.",
                retryable=True,
            )
    if outcome.invalid_states:
        return RunStatus.PARTIAL, Failure(
            kind=FailureKind.DESTINATION_ERROR,
            origin=Origin.DESTINATION,
            message="The loader confirmed state that nobody can read, so it may be incomplete.",
            hint="Nothing is lost: the next sync goes on from the last state that could be read.",
            retryable=True,
        )
    if read and not outcome.states:
        return RunStatus.PARTIAL, Failure(
            kind=FailureKind.DESTINATION_ERROR,
            origin=Origin.DESTINATION,
            message="The records arrived, but the loader confirmed no state, so the next sync will read them again.",
            hint="Nothing is lost. If it stays so, this loader doesn't pass state on.",
            retryable=True,
        )
    return RunStatus.SUCCEEDED, None


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A pattern in error lines and what it means; `origin` where it means so on that side only.

    kind:  None where it says no more than whose error it is
    """

    pattern: re.Pattern[str]
    kind: FailureKind | None
    hint: str
    retryable: bool = False
    origin: Origin | None = None


def _signature(
    pattern: str, kind: FailureKind | None, hint: str, *, retryable: bool = False, origin: Origin | None = None
) -> Signature:
    found = re.compile(pattern, re.IGNORECASE)
    return Signature(pattern=found, kind=kind, hint=hint, retryable=retryable, origin=origin)


_SIGNATURES = (
    _signature(
        r"password authentication failed|authentication failed|no pg_hba\.conf entry",
        FailureKind.CONFIG_ERROR,
        "Correct the destination's login: WAREHOUSE_URL, or the destination you added.",
        origin=Origin.DESTINATION,
    ),
    _signature(
        r"invalid_grant|INVALID_SESSION_ID|invalid_client|inactive user|bad credentials|authentication failed|\b401\b",
        FailureKind.AUTH_EXPIRED,
        "Sign in again: orchestrator integrations edit <id>.",
        origin=Origin.SOURCE,
    ),
    _signature(
        r"REQUEST_LIMIT_EXCEEDED|daily (api )?(request )?limit",
        FailureKind.QUOTA_EXCEEDED,
        "The source's daily limit is used up. Wait for it to reset, then sync again.",
        retryable=True,
        origin=Origin.SOURCE,
    ),
    _signature(
        r"rate limit|\b429\b", FailureKind.RATE_LIMITED, "The source asks us to slow down. Sync later.", retryable=True
    ),
    _signature(
        r"No space left on device|disk quota exceeded|could not extend file",
        FailureKind.INTERNAL,
        "Make room on that disk, then sync again.",
        retryable=True,
    ),
    _signature(
        r"was killed \(SIG",
        None,
        "The system does so where memory runs out; its log tells. Sync again: it goes on from the last state.",
        retryable=True,
    ),
    _signature(
        r"INSUFFICIENT_ACCESS|API_DISABLED_FOR_ORG|permission denied|not authori[sz]ed|\b403\b|must be owner",
        FailureKind.PERMISSION_MISSING,
        "Give the account that permission, then sync again.",
    ),
)


def explain(outcome: Outcome) -> Failure:
    """The most telling error line as a failure."""
    for line in reversed(outcome.complaints):
        if told := _told(line):
            return told
    kinds = {Origin.SOURCE: FailureKind.SOURCE_ERROR, Origin.DESTINATION: FailureKind.DESTINATION_ERROR}
    side = outcome.side or Origin.PLATFORM
    own = kinds.get(side, FailureKind.INTERNAL)
    for line in reversed(outcome.complaints):
        for signature in _SIGNATURES:
            elsewhere = signature.origin is not None and outcome.side not in {signature.origin, None}
            if signature.pattern.search(line) and not elsewhere:
                return Failure(
                    kind=signature.kind or own,
                    origin=side,
                    message=line,
                    hint=signature.hint,
                    retryable=signature.retryable,
                )
    said = outcome.complaints[-1] if outcome.complaints else f"Meltano ended with exit status {outcome.exit_code}."
    return Failure(
        kind=own,
        origin=side,
        message=said,
        hint="The log tells more: orchestrator runs logs <run>.",
        retryable=True,
    )


def _told(line: str) -> Failure | None:
    """The failure a plugin of ours put into words itself; None where the line holds none."""
    _, marker, document = line.partition(_FAILURE)
    if not marker:
        return None
    try:
        facts = json.loads(document)
        kind, origin = FailureKind(facts["kind"]), Origin(facts["origin"])
        return Failure(
            kind=kind,
            origin=origin,
            message=str(facts["message"]),
            hint=f"{facts.get('hint', '')} {_command(kind, origin)}".strip(),
            retryable=facts.get("retryable") is True,
            retry_after=_seconds(facts.get("retry_after")),
        )
    except (ValueError, KeyError, TypeError):
        return None


def _command(kind: FailureKind, origin: Origin) -> str:
    """Our command or setting for what a plugin's hint asks for; a plugin knows none. Empty where there is none."""
    if kind is FailureKind.SCHEMA_VIOLATION:
        return "Discovery: orchestrator discover <id>."
    if origin is Origin.SOURCE and kind in {FailureKind.AUTH_EXPIRED, FailureKind.CONFIG_ERROR}:
        return "Its settings: orchestrator integrations edit <id>."
    if (kind, origin) == (FailureKind.INTERNAL, Origin.PLATFORM):
        return "Where runs have their files: ORCHESTRATOR_RUNS__DIRECTORY."
    return ""


def _seconds(said: object) -> float | None:
    return float(said) if isinstance(said, int | float) and 0 <= said <= _LONGEST_ASKED else None


_LONGEST_ASKED = 24 * 3600


def addressed(failure: Failure, *, run_id: str, integration: str) -> Failure:
    """The failure with its hint about this run and this integration, so that its commands can be copied."""
    hint = failure.hint.replace("<run>", run_id).replace("<id>", shlex.quote(integration))
    return replace(failure, hint=hint)


def refused(error: OrchestratorError) -> Failure:
    """A foreseen error before or around the run, as its failure; a refused sign-in is the source's."""
    kinds = {
        ReauthNeededError: FailureKind.AUTH_EXPIRED,
        ActionNeededError: FailureKind.CONFIG_ERROR,
        InvalidConfigError: FailureKind.CONFIG_ERROR,
        NotAllowedError: FailureKind.PERMISSION_MISSING,
    }
    kind = next((kind for cause, kind in kinds.items() if isinstance(error, cause)), FailureKind.INTERNAL)
    return Failure(
        kind=kind,
        origin=Origin.SOURCE if kind is FailureKind.AUTH_EXPIRED else Origin.PLATFORM,
        message=error.message,
        hint=error.hint,
        retryable=isinstance(error, TemporaryError),
    )


def sign_in_works(status: RunStatus, failure: Failure | None) -> bool | None:
    """Whether the run showed that signing in works, or that it needs a person; None where it showed neither."""
    if failure is not None and failure.kind is FailureKind.AUTH_EXPIRED:
        return False
    return True if status in {RunStatus.SUCCEEDED, RunStatus.PARTIAL} else None


def worker_lost() -> Failure:
    """What a run is told whose worker died."""
    return Failure(
        kind=FailureKind.WORKER_LOST,
        origin=Origin.PLATFORM,
        message="The process that ran this sync ended without finishing it.",
        hint="Sync again: it goes on from the last committed state.",
        retryable=True,
    )


_LONGEST_WAIT = timedelta(hours=1)
_JITTER = 0.2  # of the delay, either way
_NEEDS_A_PERSON = frozenset(
    {FailureKind.CONFIG_ERROR, FailureKind.AUTH_EXPIRED, FailureKind.PERMISSION_MISSING, FailureKind.CONSENT_MISSING}
)


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
    if not again or not failure or not failure.retryable or failure.kind in _NEEDS_A_PERSON:
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


def merged(
    read: Mapping[str, int], written: Mapping[str, int], deleted: Mapping[str, int], seconds: Mapping[str, float]
) -> tuple[StreamCount, ...]:
    """Counts of both sides, by stream, in the order they were first seen."""
    names = list(dict.fromkeys([*read, *written]))
    return tuple(
        StreamCount(
            stream=name,
            read=read.get(name, 0),
            written=written.get(name, 0),
            deleted=deleted.get(name, 0),
            seconds=seconds.get(name, 0.0),
        )
        for name in names
    )


def bookmarks_of(state: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """A Meltano state (completed and partial parts) as one bookmark a stream.

    Each is {"completed": …, "partial": …} with only the parts that are there. What a tap keeps outside of
    `bookmarks` goes under WHOLE_TAP.
    """
    result: dict[str, dict[str, Any]] = {}
    for part in ("completed", "partial"):
        singer = ((state or {}).get(part) or {}).get("singer_state") or {}
        for stream, bookmark in (singer.get("bookmarks") or {}).items():
            result.setdefault(stream, {})[part] = bookmark
        rest = {key: value for key, value in singer.items() if key != "bookmarks"}
        if rest:
            result.setdefault(WHOLE_TAP, {})[part] = rest
    return result


def state_of(bookmarks: Mapping[str, Mapping[str, Any] | None]) -> dict[str, Any] | None:
    """The inverse of bookmarks_of; None where there is nothing to go on from."""
    state: dict[str, Any] = {}
    for stream, parts in bookmarks.items():
        for part, bookmark in (parts or {}).items():
            singer = state.setdefault(part, {}).setdefault("singer_state", {})
            if stream == WHOLE_TAP:
                singer.update(bookmark)
            else:
                singer.setdefault("bookmarks", {})[stream] = bookmark
    return state or None


def changed(
    before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    """The streams whose bookmark moved. A stream missing from `after` is left as it is: silence is not a reset."""
    return {stream: parts for stream, parts in after.items() if before.get(stream) != parts}


def position(bookmark: Mapping[str, Any] | None) -> str:
    """Where a bookmark stands, for people."""
    if not bookmark:
        return "from the start"
    inner = bookmark.get("partial") or bookmark.get("completed") or {}
    value = inner.get("replication_key_value") if isinstance(inner, Mapping) else None
    if value is not None:
        return str(value)
    if not inner:
        return "complete"
    text = ", ".join(f"{key}={value}" for key, value in sorted(inner.items()))
    return text if len(text) <= _POSITION_LENGTH else f"{text[:_POSITION_LENGTH]}…"


_POSITION_LENGTH = 80


def without(bookmarks: Mapping[str, Any], streams: Iterable[str]) -> dict[str, Any]:
    """Bookmarks less those of streams that start over."""
    dropped = set(streams)
    return {stream: bookmark for stream, bookmark in bookmarks.items() if stream not in dropped}


def unknown(wanted: Sequence[str], known: Iterable[str]) -> tuple[str, ...]:
    """Which of the wanted names aren't known."""
    names = set(known)
    return tuple(name for name in wanted if name not in names)
