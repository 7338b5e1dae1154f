"""What can go wrong with credentials and tokens. Texts of providers are shortened and never repeat a secret."""

from datetime import timedelta

from orchestrator.kernel.errors import (
    ActionNeededError,
    InvalidConfigError,
    NotAllowedError,
    NotFoundError,
    TemporaryError,
)


class CredentialNotFoundError(NotFoundError):
    """No such credential in this organization."""

    code = "credential_not_found"

    def __init__(self, credential_id: str) -> None:
        super().__init__(f"There is no credential {credential_id}.", hint="It may have been deleted.")


class ReauthNeededError(ActionNeededError):
    """The provider refuses the credentials; trying again with the same ones won't help.

    reason:  in the provider's words, such as "invalid_grant: expired access/refresh token"
    """

    code = "reauth_needed"

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(
            f"{where} refused the sign-in: {reason}.",
            hint="Check the credentials or sign in again, then: orchestrator test <id>",
            reason=reason,
        )
        self.reason = reason


class TokenEndpointBusyError(TemporaryError):
    """The provider can't answer right now, and may have said for how long.

    retry_after:  None where it didn't say
    """

    code = "token_endpoint_busy"

    def __init__(self, where: str, reason: str, retry_after: timedelta | None = None) -> None:
        when = f"in {round(retry_after.total_seconds())} seconds" if retry_after else "later"
        super().__init__(f"{where} can't sign us in right now: {reason}.", hint=f"Try again {when}.")
        self.retry_after = retry_after


class RenewalTakesLongError(TemporaryError):
    """Somebody else has been renewing this credential's access token for too long."""

    code = "renewal_takes_long"

    def __init__(self, credential_id: str) -> None:
        super().__init__(
            f"Another process is renewing the access token of {credential_id} and doesn't come to an end.",
            hint="Try again in a minute.",
        )


class UntrustedInstanceError(NotAllowedError):
    """The token answer sends us to an address that isn't the provider's."""

    code = "instance_not_allowed"

    def __init__(self, where: str) -> None:
        super().__init__(
            f"{where} sends us to an address that isn't the provider's; it was not called.",
            hint="Check the login address; if it is right, tell the provider.",
        )


class InvalidPrivateKeyError(InvalidConfigError):
    """The key for signing in isn't one that RS256 can use. Never shows it."""

    code = "private_key_invalid"

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"The private key can't be used: {problem}.",
            hint="Give an RSA key of 2048 bits or more in PEM form, without a passphrase.",
            problems=(("auth.private_key", problem),),
        )


class GrantIncompleteError(InvalidConfigError):
    """A value that this way of signing in needs isn't there."""

    code = "grant_incomplete"

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(
            f"Signing in needs {', '.join(names)}.",
            hint="Enter what is missing.",
            problems=tuple((f"auth.{name}", "is missing") for name in names),
        )
