"""Everything foreseen that ends a run: what happened, what to do, and a kind for machines."""

import json
from typing import ClassVar


class SourceError(Exception):
    """A foreseen end of the run; subclasses fix the kind.

    message:   one sentence: what happened, with Salesforce's own reason; never a secret
    hint:      one sentence: what to do
    kind:      one of the failure kinds the orchestrator shows (config_error, auth_expired, …)
    retryable: whether the same run can work later without anybody doing anything
    """

    kind: ClassVar[str] = "source_error"
    origin: ClassVar[str] = "source"
    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def as_json(self) -> str:
        """One line for machines: kind, origin, message, hint, retryable."""
        facts = {
            "kind": self.kind,
            "origin": self.origin,
            "message": self.message,
            "hint": self.hint,
            "retryable": self.retryable,
        }
        return json.dumps(facts, separators=(",", ":"))


class ConfigError(SourceError):
    """The settings cannot work, whatever Salesforce answers."""

    kind = "config_error"


class SignInError(SourceError):
    """Salesforce does not accept the sign-in, or no longer."""

    kind = "auth_expired"


class AccessError(SourceError):
    """The user may not read what is asked for."""

    kind = "permission_missing"


class QuotaError(SourceError):
    """The org's daily API requests are used up, or up to our share."""

    kind = "quota_exceeded"
    retryable = True


class UnavailableError(SourceError):
    """Salesforce could not be reached, or kept failing, for longer than we retry."""

    kind = "source_error"
    retryable = True


class CertificateError(SourceError):
    """Whoever answers can't show that it is Salesforce."""

    kind = "config_error"


class RateLimitedError(SourceError):
    """Salesforce kept answering "too many requests"."""

    kind = "rate_limited"
    retryable = True


class AnswerError(SourceError):
    """Salesforce refused a request, and repeating it would not help.

    status: HTTP status; code: Salesforce's errorCode ('' when it sent none)
    """

    def __init__(self, message: str, *, hint: str, status: int, code: str) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code


class JobError(SourceError):
    """A Bulk API 2.0 job ended as Failed or Aborted."""

    def __init__(self, message: str, *, hint: str, reason: str) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class ShortResultError(SourceError):
    """Salesforce delivered fewer rows than it announced, again and again."""

    retryable = True


class SchemaError(SourceError):
    """A value does not fit the type in the catalog: the field was changed at the source."""

    kind = "schema_violation"


class LoaderGoneError(SourceError):
    """Whoever reads our messages stopped reading."""

    kind = "destination_error"
    origin = "destination"


class StorageError(SourceError):
    """Batch files cannot be written where they belong."""

    kind = "internal"
    origin = "platform"
    retryable = True
