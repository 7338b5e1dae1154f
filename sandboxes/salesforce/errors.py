"""What the local org answers when it refuses: one class per error family of Salesforce."""

from typing import Any


class ApiError(Exception):
    """A refused REST or Bulk request, answered as `[{"message": …, "errorCode": …}]`.

    source: REST API developer guide, "Status Codes and Error Responses"
    """

    def __init__(self, status: int, code: str, message: str, *, fields: tuple[str, ...] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.fields = fields

    def body(self) -> list[dict[str, Any]]:
        """The JSON Salesforce sends; `fields` only where the error is about a record's fields."""
        error: dict[str, Any] = {"message": self.message, "errorCode": self.code}
        if self.fields is not None:
            error["fields"] = list(self.fields)
        return [error]


class OAuthError(Exception):
    """A refused sign-in, answered as `{"error": …, "error_description": …}`.

    source: Salesforce help, "OAuth 2.0 Authorization Errors"
    """

    def __init__(self, error: str, description: str, *, status: int = 400) -> None:
        super().__init__(f"{error}: {description}")
        self.status = status
        self.error = error
        self.description = description

    def body(self) -> dict[str, str]:
        """The JSON of the token endpoint."""
        return {"error": self.error, "error_description": self.description}


class SandboxError(Exception):
    """The sandbox itself was used wrongly: a bad option, a bad fault, an unknown object in a control call."""


def not_found(message: str = "The requested resource does not exist") -> ApiError:
    """404 as REST gives it for an unknown path, object or record."""
    return ApiError(404, "NOT_FOUND", message)


def invalid_session() -> ApiError:
    """401 for a missing, expired or revoked access token."""
    return ApiError(401, "INVALID_SESSION_ID", "Session expired or invalid")


def limit_exceeded() -> ApiError:
    """403 once the day's API requests are used up."""
    return ApiError(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
