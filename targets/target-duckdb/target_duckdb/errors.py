"""Everything foreseen that ends a load: what happened, what to do, and a kind for machines."""

import json
from typing import ClassVar, Literal

from singer_sdk.exceptions import MissingKeyPropertiesError, RecordsWithoutSchemaException

Remedy = Literal["full_refresh"]


class LoadError(Exception):
    """A foreseen end of the run; subclasses fix the kind.

    message:   one sentence: what happened; never a value of a record
    hint:      one sentence: what to do
    retryable: whether the same run can work later without anybody doing anything
    remedy:    what helps, for machines, where the kind doesn't tell: "full_refresh"; None where it does
    """

    kind: ClassVar[str] = "destination_error"
    origin: ClassVar[str] = "destination"

    def __init__(self, message: str, *, hint: str, retryable: bool = False, remedy: Remedy | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.retryable = retryable
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.hint}"

    def as_json(self) -> str:
        """One line for machines: kind, origin, message, hint, retryable, remedy."""
        facts = {name: getattr(self, name) for name in ("kind", "origin", "message", "hint", "retryable", "remedy")}
        return json.dumps(facts, separators=(",", ":"))


class DestinationError(LoadError):
    """The file, the disk, or what somebody did to the tables is in the way."""


class PermissionMissingError(LoadError):
    """The file or folder may not be written."""

    kind = "permission_missing"


class MisfitError(LoadError):
    """A value does not fit the column it belongs to."""

    kind = "schema_violation"


class ConfigError(LoadError):
    """The settings cannot work."""

    kind = "config_error"


class DamagedBatchError(LoadError):
    """A batch file is not what the tap announced."""

    kind = "source_error"
    origin = "source"

    def __init__(self, message: str, *, hint: str = "Sync again: the tap fetches it once more.") -> None:
        super().__init__(message, hint=hint, retryable=True)


class MessageError(LoadError):
    """The tap wrote something that is not a Singer message."""

    kind = "source_error"
    origin = "source"

    def __init__(self, message: str, *, hint: str = "See the tap's own log.") -> None:
        super().__init__(message, hint=hint)


class MissingSchemaError(MessageError, RecordsWithoutSchemaException):  # type: ignore[misc]  # the SDK's types are not followed
    """Records came before their SCHEMA."""


class MissingKeyError(MessageError, MissingKeyPropertiesError):  # type: ignore[misc]  # as above
    """A record came without its key."""
