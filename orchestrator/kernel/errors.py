"""The tree of failures: a class per cause, each with a stable code, an HTTP status and an exit code.

The message says what happened, the hint what to do. Facts are ids and plain values and never hold a
secret. Errors are turned into text only at the doors (entry and the doors of the domains).
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class OrchestratorError(Exception):
    """Anything foreseen that stops a use case; subclasses fix code, status and exit code.

    message:  one or two sentences: what happened
    hint:     one sentence: what to do now
    facts:    ids and plain values for machines; never a secret
    """

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    exit_code: int = 1

    def __init__(self, message: str, *, hint: str = "", **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.facts: Mapping[str, Any] = facts


class UsageError(OrchestratorError):
    """The call itself makes no sense: flags that exclude each other, a missing argument."""

    code = "usage"
    status = 400
    exit_code = 2


class NotFoundError(OrchestratorError):
    """Nothing has that id or name; a foreign organization's id answers exactly the same."""

    code = "not_found"
    status = 404
    exit_code = 3


class NotAllowedError(OrchestratorError):
    """The caller may not do this."""

    code = "not_allowed"
    status = 403
    exit_code = 4


class ConflictError(OrchestratorError):
    """Something else is under way, or was changed by somebody else meanwhile."""

    code = "conflict"
    status = 409
    exit_code = 5


class InvalidConfigError(OrchestratorError):
    """What was given does not fit; nothing was saved.

    problems:  every wrong field, as (path, sentence)
    """

    code = "invalid_config"
    status = 422
    exit_code = 6

    def __init__(
        self, message: str, *, hint: str = "", problems: tuple[tuple[str, str], ...] = (), **facts: Any
    ) -> None:
        super().__init__(message, hint=hint, problems=[list(p) for p in problems], **facts)
        self.problems = problems


class ConnectionTestFailedError(OrchestratorError):
    """A named check of a connection test did not pass."""

    code = "connection_test_failed"
    status = 422
    exit_code = 7


class ActionNeededError(OrchestratorError):
    """Only a person can go on: sign in again, grant a permission, provide a key."""

    code = "action_needed"
    status = 409
    exit_code = 8


class TemporaryError(OrchestratorError):
    """Worth trying again as it is: a database that is away, a full disk, a busy service."""

    code = "temporary"
    status = 503
    exit_code = 75
