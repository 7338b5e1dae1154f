"""What can be wrong with a run."""

from collections.abc import Sequence
from pathlib import Path

from orchestrator.domains.runs.types import Failure, FailureKind, Origin, Run, RunStatus
from orchestrator.kernel.errors import (
    ActionNeededError,
    ConflictError,
    NotFoundError,
    OrchestratorError,
    TemporaryError,
    UsageError,
)


class RunInProgressError(ConflictError):
    """An integration has at most one run under way, of whatever kind."""

    code = "run_in_progress"

    def __init__(self, name: str, run_id: str) -> None:
        super().__init__(
            f"'{name}' has a run under way ({run_id}).",
            hint=f"Watch it: orchestrator runs logs {run_id} -f. Stop it: orchestrator runs cancel {run_id}.",
            run_id=run_id,
        )


class UnconfirmedDatabaseError(ActionNeededError):
    """The database was restored or copied, and nobody has said yet that it is the one to work in."""

    code = "unconfirmed_database"

    def __init__(self, because: str) -> None:
        super().__init__(
            f"Nothing is begun, since {because}.",
            hint="Look at what came back (orchestrator runs list), then say that it is the one to work in: "
            "orchestrator workers resume.",
        )


class RunInTheWayError(TemporaryError):
    """The database refuses a run as a second one and yet shows no first, however often we look."""

    code = "run_in_the_way"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"'{name}' could not be given a run: one is in the way that can't be found.",
            hint="Try again. If it stays so, see whether database and code fit: orchestrator doctor.",
        )


class UnknownRunError(NotFoundError):
    """No run has this id or this beginning of one."""

    code = "unknown_run"

    def __init__(self, wanted: str) -> None:
        super().__init__(f"There is no run '{wanted}'.", hint="See them: orchestrator runs list.")


class AmbiguousRunError(UsageError):
    """Several runs have this beginning."""

    code = "ambiguous_run"

    def __init__(self, wanted: str, ids: Sequence[str]) -> None:
        super().__init__(f"'{wanted}' begins the ids of several runs.", hint=f"Give more of it: {', '.join(ids)} …")


class RunEndedError(ConflictError):
    """The run is over; there is nothing to cancel."""

    code = "run_ended"

    def __init__(self, run: Run) -> None:
        super().__init__(f"{run.id} is over already: {run.status}.", hint="Start a new one: orchestrator sync <id>.")


class RunUnendedError(ConflictError):
    """The run isn't over; there is nothing to do again."""

    code = "run_unended"

    def __init__(self, run: Run) -> None:
        super().__init__(
            f"{run.id} is not over: {run.status}.",
            hint=f"Watch it: orchestrator runs logs {run.id} -f. Stop it: orchestrator runs cancel {run.id}.",
        )


class NothingKeptError(ConflictError):
    """The run has no scratch schema, or has it no more."""

    code = "nothing_kept"

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"{run_id} has no scratch schema.",
            hint="Dry runs keep theirs with --keep: orchestrator sync <id> --dry-run.",
        )


class LeaseLostError(OrchestratorError):
    """Another worker has taken the run over, or it was ended; this one must write nothing more."""

    code = "lease_lost"

    def __init__(self, run_id: str) -> None:
        super().__init__(f"This worker no longer holds {run_id}.", hint="Look at it: orchestrator runs show.")


class UnknownStateError(NotFoundError):
    """The history has no such entry for this integration."""

    code = "unknown_state"

    def __init__(self, wanted: str) -> None:
        super().__init__(
            f"The history has no state {wanted} of this integration.", hint="See it: orchestrator state <id> history."
        )


class StateBusyError(ConflictError):
    """State isn't changed under a running sync."""

    code = "state_busy"

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"{run_id} is running and writes state.", hint=f"Wait for it or stop it: orchestrator runs cancel {run_id}."
        )


class RunFailedError(OrchestratorError):
    """The run ended, but not well; the exit code says how."""

    code = "run_failed"

    def __init__(self, run: Run) -> None:
        failure = run.failure
        super().__init__(
            failure.message if failure else f"The run ended as {run.status}.",
            hint=failure.hint if failure else f"See why: orchestrator runs logs {run.id}",
            run_id=run.id,
            status=run.status.value,
        )
        self.exit_code = EXIT_CODES[run.status] if run.status is not RunStatus.FAILED else _failed_code(failure)


def _failed_code(failure: Failure | None) -> int:
    if failure is None:
        return 1
    if failure.kind in {FailureKind.AUTH_EXPIRED, FailureKind.CONSENT_MISSING}:
        return 8
    passing = failure.kind is FailureKind.RATE_LIMITED or (failure.retryable and failure.origin is Origin.PLATFORM)
    return TemporaryError.exit_code if passing else 1


EXIT_CODES = {
    RunStatus.SUCCEEDED: 0,
    RunStatus.PARTIAL: 9,
    RunStatus.CANCELLED: 130,
    RunStatus.TIMED_OUT: 124,
    RunStatus.QUEUED: 0,
    RunStatus.RUNNING: 0,
    RunStatus.RETRYING: 0,
    RunStatus.CANCELLING: 0,
}


class FolderTakenError(ConflictError):
    """Something is in the folder already; nothing is written over."""

    code = "folder_taken"

    def __init__(self, folder: Path) -> None:
        super().__init__(f"{folder} is not an empty folder.", hint="Name another one, or empty it.", path=str(folder))


class TooRecentError(UsageError):
    """What runs said is kept for a day at least."""

    code = "too_recent"

    def __init__(self) -> None:
        super().__init__("That is too recent to be removed.", hint="Name a day at least: --older-than 90d.")


class RetryPolicyError(UsageError):
    """A retry policy that can't be meant."""

    code = "bad_retry_policy"


class WindowArgumentError(UsageError):
    """A window of time nobody can read, or with nothing in it."""

    code = "bad_window"

    def __init__(self, message: str) -> None:
        super().__init__(message, hint="Write it like --from 2024-01-01 --to 2024-06-01; the end is not part of it.")


class TimeoutArgumentError(UsageError):
    """A duration nobody can read."""

    code = "bad_duration"

    def __init__(self, text: str) -> None:
        super().__init__(
            f"'{text}' is not a duration.", hint="Write it like 90s, 15m, 2h, 1h30m or 7d; a run may take 30 days."
        )
