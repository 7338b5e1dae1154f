"""Sign-in: the OAuth 2.0 grants, sessions that expire and can be revoked, and refresh tokens that may rotate.

source: Salesforce help, "OAuth Authorization Flows", "OAuth 2.0 JWT Bearer Flow", "Refresh Token Rotation"
"""

import base64
import binascii
import hmac
import json
import re
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA256

from .app import App
from .clock import Clock
from .errors import OAuthError, invalid_session

CODE_LIFETIME = timedelta(minutes=15)
LOGIN_HOSTS = ("https://login.salesforce.com", "https://test.salesforce.com")
SCOPES = "refresh_token api id"
JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_EXPIRED = "expired access/refresh token"


@dataclass(slots=True)
class Grant:
    """One approval of the app by the user: a chain of refresh tokens and the sessions made from it."""

    scope: str
    alive: bool = True
    current: str = ""


@dataclass(slots=True, kw_only=True)
class Session:
    """An access token's life; ended by time, sign-out, revocation or a fault."""

    expires: datetime
    scope: str
    grant: Grant


@dataclass(slots=True, kw_only=True)
class Code:
    """An authorization code waiting to be exchanged, once."""

    redirect_uri: str
    challenge: str
    scope: str
    expires: datetime
    grant: Grant | None = None


class SignIn:
    """Issues and checks tokens. lifetime: of an access token, in seconds; rotate: refresh tokens are single use."""

    def __init__(self, app: App, clock: Clock, url: Callable[[], str], *, lifetime: float, rotate: bool) -> None:
        self.app, self.clock, self.url = app, clock, url
        self.lifetime, self.rotate = lifetime, rotate
        self._lock = threading.RLock()
        self._sessions: dict[str, Session] = {}
        self._codes: dict[str, Code] = {}
        first = Grant(SCOPES, current=app.refresh_token)
        self._refresh: dict[str, Grant] = {app.refresh_token: first}

    # -- the token endpoint ---------------------------------------------------------------------------------------

    def token(self, form: Mapping[str, str], authorization: str = "") -> dict[str, Any]:
        """Answer POST /services/oauth2/token, or OAuthError."""
        form = {**form, **_basic(authorization)}
        grants = {
            "refresh_token": self._by_refresh,
            "authorization_code": self._by_code,
            "client_credentials": self._by_client,
            "password": self._by_password,
            JWT_GRANT: self._by_jwt,
        }
        handler = grants.get(form.get("grant_type", ""))
        if handler is None:
            raise OAuthError("unsupported_grant_type", "grant type not supported")
        with self._lock:
            return handler(form)

    def _client(self, form: Mapping[str, str], *, secret: bool = True) -> None:
        if form.get("client_id") != self.app.client_id:
            raise OAuthError("invalid_client_id", "client identifier invalid")
        if not secret and "client_secret" not in form:
            return
        if not hmac.compare_digest(form.get("client_secret", "").encode(), self.app.client_secret.encode()):
            raise OAuthError("invalid_client", "invalid client credentials")

    def _by_refresh(self, form: Mapping[str, str]) -> dict[str, Any]:
        self._client(form)
        given = form.get("refresh_token", "")
        grant = self._refresh.get(given)
        if grant is None or not grant.alive:
            raise OAuthError("invalid_grant", _EXPIRED)
        if not self.rotate:
            return self._session(grant)
        if given != grant.current:  # someone else has used it: nobody keeps access
            self._end(grant)
            raise OAuthError("invalid_grant", _EXPIRED)
        return self._session(grant) | {"refresh_token": self._new_refresh(grant)}

    def _by_code(self, form: Mapping[str, str]) -> dict[str, Any]:
        self._client(form, secret=False)
        code = self._usable_code(form.get("code", ""))
        if form.get("redirect_uri") != code.redirect_uri:
            raise OAuthError("redirect_uri_mismatch", "redirect_uri must match configuration")
        if not code.challenge and "client_secret" not in form:
            raise OAuthError("invalid_client", "invalid client credentials")
        if code.challenge and challenge_of(form.get("code_verifier", "")) != code.challenge:
            raise OAuthError("invalid_grant", "invalid code verifier")
        code.grant = Grant(code.scope)
        answer = self._session(code.grant)
        if {"refresh_token", "offline_access"} & set(code.scope.split()):
            answer["refresh_token"] = self._new_refresh(code.grant)
        return answer

    def _usable_code(self, text: str) -> Code:
        """The code if it is known, fresh and unused; a second use ends what the first one got."""
        code = self._codes.get(text)
        if code is None:
            raise OAuthError("invalid_grant", "invalid authorization code")
        if code.grant:
            self._end(code.grant)
        if code.grant or code.expires <= self.clock.now():
            raise OAuthError("invalid_grant", "expired authorization code")
        return code

    def _by_client(self, form: Mapping[str, str]) -> dict[str, Any]:
        self._client(form)
        return self._session(Grant("api id"))

    def _by_password(self, form: Mapping[str, str]) -> dict[str, Any]:
        self._client(form)
        self.check_password(form.get("username", ""), form.get("password", ""))
        return self._session(Grant("api id"))

    def check_password(self, username: str, password: str) -> None:
        """Password and security token, written together, or invalid_grant."""
        right = hmac.compare_digest(password.encode(), (self.app.password + self.app.security_token).encode())
        if username != self.app.username or not right:
            raise OAuthError("invalid_grant", "authentication failure")

    def _by_jwt(self, form: Mapping[str, str]) -> dict[str, Any]:
        claims = self._claims(form.get("assertion", ""))
        if claims.get("iss") != self.app.client_id:
            raise OAuthError("invalid_client_id", "client identifier invalid")
        audience = claims.get("aud")
        named = audience if isinstance(audience, list) else [audience]
        if not {*LOGIN_HOSTS, self.url()} & {str(a).rstrip("/") for a in named}:
            raise OAuthError("invalid_grant", "audience is invalid")
        if not re.fullmatch(r"\d+(\.\d+)?", str(claims.get("exp"))):  # a string of digits is accepted, as by Salesforce
            raise OAuthError("invalid_grant", "invalid assertion")
        if float(claims["exp"]) <= self.clock.now().timestamp():
            raise OAuthError("invalid_grant", "expired authorization code")
        if claims.get("sub", claims.get("prn")) != self.app.username:
            raise OAuthError("invalid_grant", "user hasn't approved this consumer")
        return self._session(Grant("api id"))

    def _claims(self, assertion: str) -> dict[str, Any]:
        try:
            head, body, signature = assertion.split(".")
            if json.loads(_unbase64(head)).get("alg") != "RS256":
                raise OAuthError("invalid_grant", "algorithm type not supported")
            signed = f"{head}.{body}".encode()
            self.app.key.public_key().verify(_unbase64(signature), signed, padding.PKCS1v15(), SHA256())
            claims = json.loads(_unbase64(body))
        except (ValueError, AttributeError, binascii.Error, InvalidSignature) as error:
            raise OAuthError("invalid_grant", "invalid assertion") from error
        if not isinstance(claims, dict):
            raise OAuthError("invalid_grant", "invalid assertion")
        return claims

    # -- the person's consent -------------------------------------------------------------------------------------

    def check_request(self, query: Mapping[str, str]) -> None:
        """Whether GET /services/oauth2/authorize may show the consent page, or OAuthError."""
        if query.get("client_id") != self.app.client_id:
            raise OAuthError("invalid_client_id", "client identifier invalid")
        if query.get("response_type") != "code":
            raise OAuthError("unsupported_response_type", "response type not supported")
        uri = query.get("redirect_uri", "")
        parts = urlsplit(uri)
        loopback = parts.scheme == "http" and parts.hostname in {"127.0.0.1", "localhost", "::1"}
        if not loopback and uri not in self.app.redirect_uris:
            raise OAuthError("redirect_uri_mismatch", "redirect_uri must match configuration")
        if query.get("code_challenge") and query.get("code_challenge_method", "S256") != "S256":
            raise OAuthError("invalid_request", "invalid code challenge method")

    def approve(self, query: Mapping[str, str]) -> str:
        """The user allows the app; answers the code."""
        self.check_request(query)
        code = "aPrx" + secrets.token_urlsafe(48)
        with self._lock:
            self._codes[code] = Code(
                redirect_uri=query["redirect_uri"],
                challenge=query.get("code_challenge", ""),
                scope=query.get("scope") or SCOPES,
                expires=self.clock.now() + CODE_LIFETIME,
            )
        return code

    # -- sessions -------------------------------------------------------------------------------------------------

    def _session(self, grant: Grant) -> dict[str, Any]:
        now = self.clock.now()
        access = f"{self.app.org_id[:15]}!AQ{secrets.token_urlsafe(64)}"
        self._sessions[access] = Session(expires=now + timedelta(seconds=self.lifetime), scope=grant.scope, grant=grant)
        identity, issued = f"{self.url()}/id/{self.app.org_id}/{self.app.user_id}", str(int(now.timestamp() * 1000))
        signature = hmac.new(self.app.client_secret.encode(), (identity + issued).encode(), sha256).digest()
        return {
            "access_token": access,
            "signature": base64.b64encode(signature).decode(),
            "scope": grant.scope,
            "instance_url": self.url(),
            "id": identity,
            "token_type": "Bearer",
            "issued_at": issued,
        }

    def session(self) -> str:
        """An access token made at once, for SOAP login and for tests."""
        with self._lock:
            return str(self._session(Grant("api id"))["access_token"])

    def _new_refresh(self, grant: Grant) -> str:
        grant.current = "5Aep861" + secrets.token_urlsafe(60)
        self._refresh[grant.current] = grant
        return grant.current

    def check(self, authorization: str) -> str:
        """The access token of a REST request if it is good, else 401 INVALID_SESSION_ID."""
        kind, _, access = authorization.partition(" ")
        with self._lock:
            session = self._sessions.get(access.strip())
            if kind.lower() not in {"bearer", "oauth"} or session is None or not self._good(session):
                raise invalid_session()
        return access.strip()

    def _good(self, session: Session) -> bool:
        return session.grant.alive and session.expires > self.clock.now()

    def end(self, access: str) -> None:
        """End one session; its refresh token still works."""
        with self._lock:
            self._sessions.pop(access, None)

    def end_all(self) -> None:
        """End every session; refresh tokens still work."""
        with self._lock:
            self._sessions.clear()

    def revoke(self, token: str) -> None:
        """POST /services/oauth2/revoke: an access token ends its session, a refresh token its whole grant."""
        with self._lock:
            if token in self._sessions:
                self.end(token)
            elif token in self._refresh and self._refresh[token].alive:
                self._end(self._refresh[token])
            else:
                raise OAuthError("invalid_token", "token not found or already revoked")

    def revoke_refresh_tokens(self) -> None:
        """As if the administrator had revoked the app: every grant and session ends."""
        with self._lock:
            for grant in self._refresh.values():
                self._end(grant)

    def _end(self, grant: Grant) -> None:
        grant.alive = False
        self._sessions = {a: s for a, s in self._sessions.items() if s.grant is not grant}

    def introspect(self, form: Mapping[str, str], authorization: str = "") -> dict[str, Any]:
        """POST /services/oauth2/introspect (RFC 7662)."""
        self._client({**form, **_basic(authorization)})
        token = form.get("token", "")
        with self._lock:
            session, grant = self._sessions.get(token), self._refresh.get(token)
            if session and self._good(session):
                shown = {"token_type": "access_token", "exp": int(session.expires.timestamp()), "scope": session.scope}
            elif grant and grant.alive and (not self.rotate or grant.current == token):
                shown = {"token_type": "refresh_token", "scope": grant.scope}
            else:
                return {"active": False}
        return {"active": True, "client_id": self.app.client_id, "username": self.app.username, **shown}


def challenge_of(verifier: str) -> str:
    """The S256 code challenge of a verifier (RFC 7636)."""
    return base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")


def _unbase64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _basic(authorization: str) -> dict[str, str]:
    kind, _, encoded = authorization.partition(" ")
    if kind.lower() != "basic":
        return {}
    try:
        client, _, secret = base64.b64decode(encoded).decode().partition(":")
    except ValueError as error:
        raise OAuthError("invalid_client", "invalid client credentials") from error
    return {"client_id": client, "client_secret": secret}
