"""Credentials, grants and sessions."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import SecretStr

CREDENTIALS = "integration_credentials"  # the table that owns the secrets in the vault
ACCESS_TOKEN = "access_token"  # noqa: S105 - the name of the vault's field, not a token
REFRESH_TOKEN = "auth.refresh_token"  # noqa: S105 - the name of the vault's field, not a token


class CredentialStatus(StrEnum):
    """Whether the provider still lets us in."""

    ACTIVE = "active"
    NEEDS_REAUTH = "needs_reauth"
    REVOKED = "revoked"


class GrantKind(StrEnum):
    """How an access token is asked for."""

    REFRESH_TOKEN = "refresh_token"  # noqa: S105 - a kind of grant
    CLIENT_CREDENTIALS = "client_credentials"
    JWT_BEARER = "jwt_bearer"
    PASSWORD = "password"  # noqa: S105 - a kind of grant


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenGrant:
    """Everything needed to ask for an access token.

    url:             the token endpoint
    hosts:           token endpoint and instance must be one of these or lie under one; None: the instance must be
                     the token endpoint's own host
    refresh_token:   for `sign_in`; `fresh` takes the stored one, as it may have changed meanwhile
    refresh_field:   where the vault has it
    rotates:         each refresh answers with a new refresh token and ends the old one
    security_token:  appended to the password (Salesforce)
    audience:        `aud` of a JWT; the token endpoint's scheme and host where None
    soap_url:        where a username and password without client_id sign in (Salesforce SOAP login)
    instance_from:   key of the answer that says where the API is; None where the provider has one address
    lifetime:        of an access token where the answer doesn't say
    """

    kind: GrantKind
    url: str
    hosts: tuple[str, ...] | None = None
    client_id: str | None = None
    client_secret: SecretStr | None = None
    refresh_token: SecretStr | None = None
    refresh_field: str = REFRESH_TOKEN
    rotates: bool = False
    username: str | None = None
    password: SecretStr | None = None
    security_token: SecretStr | None = None
    private_key: SecretStr | None = None
    audience: str | None = None
    soap_url: str | None = None
    instance_from: str | None = "instance_url"
    lifetime: timedelta = timedelta(minutes=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest:
    """What is sent to a token endpoint; holds secrets, so it shows nothing but where it goes."""

    url: str
    fields: dict[str, str] | None = field(default=None, repr=False)
    body: bytes | None = field(default=None, repr=False)
    headers: dict[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = field(default=(), repr=False)  # what an answer might repeat


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenAnswer:
    """What a token endpoint gave.

    refresh_token:  a new one; None where the old one goes on
    instance:       where the API is, as the provider says; not yet judged
    life:           of the access token
    scopes:         what was granted; None where the answer doesn't say
    """

    access_token: SecretStr
    life: timedelta
    refresh_token: SecretStr | None = None
    instance: str | None = None
    scopes: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """An access token that works now, and where."""

    access_token: SecretStr
    instance_url: str | None
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """An authorised account, without its secrets."""

    id: str
    org_id: str
    provider: str
    auth_type: str | None
    status: CredentialStatus
    status_reason: str | None
    granted_scopes: tuple[str, ...] | None
    instance_url: str | None
    access_expires_at: datetime | None
    token_version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A credential and which of its secrets are set, since when."""

    credential: Credential
    secrets: dict[str, datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A credential at one moment, by the database's clock.

    fresh:    the access token has enough life left
    alive:    the access token has life left at all
    leased:   somebody is asking for a new one
    cooling:  how long the provider asked us to wait
    """

    credential: Credential
    fresh: bool
    alive: bool
    leased: bool
    cooling: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long things may take when an access token is renewed.

    call:   the token endpoint's answer
    lease:  one renewal; longer than a call, so that a renewal that died is told from one that takes its time
    wait:   for somebody else's renewal; longer than a lease, so that one that died is taken over
    """

    call: timedelta = timedelta(seconds=20)
    lease: timedelta = timedelta(seconds=40)
    wait: timedelta = timedelta(seconds=60)


DEFAULT_PACE = Pace()
