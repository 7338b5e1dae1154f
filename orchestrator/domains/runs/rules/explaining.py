"""Why a run is where it is, who can do something about it, and what: for people."""

from orchestrator.domains.runs.rules import signatures
from orchestrator.domains.runs.types import Explanation, Failure, FailureKind, Fixer, Origin, Run, RunStatus

_ADMINS = {Origin.SOURCE: Fixer.SOURCE_ADMIN, Origin.DESTINATION: Fixer.WAREHOUSE_ADMIN}

# Of failures that no signature knows: a cause, and who can do something about it; None is the admin of the side.
_KINDS: dict[FailureKind, tuple[str, Fixer | None]] = {
    FailureKind.CONFIG_ERROR: ("A setting is wrong or missing.", Fixer.OPERATOR),
    FailureKind.AUTH_EXPIRED: ("The sign-in no longer holds.", None),
    FailureKind.PERMISSION_MISSING: ("The account may not do what the sync needs.", None),
    FailureKind.RATE_LIMITED: ("The source asks us to slow down.", Fixer.NOBODY),
    FailureKind.SOURCE_ERROR: ("The source or its plugin failed.", None),
    FailureKind.DESTINATION_ERROR: ("The destination or its plugin failed.", None),
    FailureKind.SCHEMA_VIOLATION: ("The data no longer has the shape it had at the last discovery.", Fixer.OPERATOR),
    FailureKind.CONSENT_MISSING: ("Somebody has to allow the access first.", None),
    FailureKind.QUOTA_EXCEEDED: ("The source's allowance is used up.", Fixer.NOBODY),
    FailureKind.TIMEOUT: ("The run got no further in the time it had.", Fixer.OPERATOR),
    FailureKind.WORKER_LOST: ("The process that did the run was ended: by the system, or with its machine.", None),
    FailureKind.INTERNAL: ("Something on our own side failed.", Fixer.OPERATOR),
}
_WITHOUT_FAILURE = {
    RunStatus.QUEUED: ("It has not begun.", "See what it waits for: orchestrator runs show {run}."),
    RunStatus.RUNNING: ("It is under way.", "Watch it: orchestrator runs logs {run} -f."),
    RunStatus.RETRYING: (
        "A worker gave it back; another takes it over.",
        "See its place: orchestrator runs show {run}.",
    ),
    RunStatus.CANCELLING: ("Somebody asked to stop it, and it is ending.", ""),
    RunStatus.CANCELLED: ("Somebody stopped it; what it committed is kept.", "Go on: orchestrator runs retry {run}."),
    RunStatus.SUCCEEDED: ("Everything arrived.", ""),
}


def explained(run: Run) -> Explanation:
    """The cause of a run's end or state, who can do something about it, and what that is."""
    failure = run.failure
    if failure is None:
        cause, todo = _WITHOUT_FAILURE.get(
            run.status, (f"It ended as {run.status}.", "Its log: orchestrator runs logs {run}.")
        )
        return Explanation(cause=cause, who=Fixer.NOBODY, todo=todo.format(run=run.id))
    known = signatures.known().get(failure.signature or "")
    cause, who = (known.cause, known.who) if known else _KINDS[failure.kind]
    return Explanation(cause=cause, who=who or _admin(failure), todo=failure.hint, said=failure.message)


def _admin(failure: Failure) -> Fixer:
    return _ADMINS.get(failure.origin, Fixer.OPERATOR)
