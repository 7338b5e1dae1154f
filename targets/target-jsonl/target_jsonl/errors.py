"""What is foreseen to end a load: what happened, what to do, and a kind for machines."""

import json
from typing import ClassVar

from singer_sdk.exceptions import MissingKeyPropertiesError


class LoadError(Exception):
    """A foreseen end of the run; subclasses fix the kind.

    message:   one sentence: what happened; never a value of a record
    hint:      one sentence: what to do
    retryable: whether the same run can work later without anybody doing anything
    """

    kind: ClassVar[str]
    origin: ClassVar[str] = "destination"

    def __init__(self, message: str, *, hint: str, retryable: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.retryable = retryable

    def __str__(self) -> str:
        return f"{self.message} {self.hint}"

    def as_json(self) -> str:
        """One line for machines: kind, origin, message, hint, retryable."""
        facts = {name: getattr(self, name) for name in ("kind", "origin", "message", "hint", "retryable")}
        return json.dumps(facts, separators=(",", ":"))


class DestinationError(LoadError):
    """The disk, or what somebody did to the folder, is in the way."""

    kind = "destination_error"


class MisfitError(LoadError):
    """A value is not what its stream's schema says."""

    kind = "schema_violation"


class MessageError(LoadError):
    """The tap wrote something that is not a Singer message."""

    kind = "source_error"
    origin = "source"

    def __init__(self, message: str, *, hint: str = "See the tap's own log.") -> None:
        super().__init__(message, hint=hint)


class MissingKeyError(MessageError, MissingKeyPropertiesError):  # type: ignore[misc]  # the SDK's types are not followed
    """A record came without its key."""
