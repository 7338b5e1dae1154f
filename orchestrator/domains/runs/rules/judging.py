"""How a run ended, and why."""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from orchestrator.domains.runs.rules.failing import explain
from orchestrator.domains.runs.rules.outcome import Outcome
from orchestrator.domains.runs.types import Failure, FailureKind, Origin, RunStatus, StreamCount
from orchestrator.kernel import durations

_NOTHING: Mapping[str, Any] = MappingProxyType({})


def judge(outcome: Outcome, *, timeout: timedelta, stall: timedelta) -> tuple[RunStatus, Failure | None]:
    """How the run ended, and why.

    Exit status 0 can hide lost records, so success also needs every record read to be written, and the state to have
    come through the loader.
    """
    if outcome.stalled:
        return RunStatus.FAILED, stalled(stall)
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


def stalled(after: timedelta) -> Failure:
    """What a run is told that was ended for having done nothing for long."""
    return Failure(
        kind=FailureKind.TIMEOUT,
        origin=Origin.PLATFORM,
        message=f"For {durations.spoken(after)} nothing was read, written or said, so the run was ended.",
        hint="What it committed is kept; sync again. If the source is that slow, raise ORCHESTRATOR_RUNS__STALL.",
        retryable=True,
    )


def _rejected(read: int, written: int) -> int | None:
    """What the loader left out; None where it counts otherwise than the tap."""
    return read - written if read >= written else None


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


def merged(
    read: Mapping[str, int],
    written: Mapping[str, int],
    deleted: Mapping[str, int] = _NOTHING,
    *,
    seconds: Mapping[str, float] = _NOTHING,
    api_calls: Mapping[str, int] = _NOTHING,
    sizes: Mapping[str, int] = _NOTHING,
    complete: bool = False,
) -> tuple[StreamCount, ...]:
    """Counts of both sides, by stream, in the order they were first seen.

    sizes:     in bytes
    complete:  as `Outcome.complete`
    """
    names = list(dict.fromkeys([*read, *written]))
    return tuple(
        StreamCount(
            stream=name,
            read=read.get(name, 0),
            written=written.get(name, 0),
            deleted=deleted.get(name, 0),
            rejected=_rejected(read.get(name, 0), written.get(name, 0)) if complete else None,
            bytes=sizes.get(name),
            seconds=seconds.get(name, 0.0),
            api_calls=api_calls.get(name),
        )
        for name in names
    )
