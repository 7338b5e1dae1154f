"""How the tap gets an access token: five ways to sign in, all giving a Session.

source: Salesforce Help, "OAuth Authorization Flows" (refresh token, client credentials, JWT bearer,
username-password). Client secrets and tokens travel in the body only.
"""

import logging
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import requests

from tap_salesforce import hosts
from tap_salesforce.backoff import Backoff
from tap_salesforce.errors import ConfigError, SignInError, UnavailableError
from tap_salesforce.settings import Settings
from tap_salesforce.token_socket import ask_for_token
from tap_salesforce.unreached import FIRST_CONTACT, unreached

_JWT_SECONDS = 180  # Salesforce refuses assertions that live longer than 5 minutes
_RENEWALS = 10  # at most, within _WITHIN seconds
_WITHIN = 600
_RETRIED = frozenset({429, 500, 502, 503, 504})
# source: SOAP API guide, LoginResult, and OAuth's token answers: a session id is the org's id, "!" and more
_ORG = re.compile(r"(00D[0-9A-Za-z]{12})!")
log = logging.getLogger("tap-salesforce")


@dataclass(frozen=True, slots=True)
class Session:
    """A valid sign-in: a bearer token and the org's base URL (https://…, no trailing slash)."""

    access_token: str = field(repr=False)
    instance_url: str

    @property
    def org(self) -> str | None:
        """The org's id, 15 characters, with which its session ids begin; None where the token is of another form."""
        found = _ORG.match(self.access_token)
        return found[1] if found else None


class SignIn(Protocol):
    """One way to get a session."""

    def first(self) -> Session:
        """The session to begin with."""

    def again(self, rejected: str) -> Session:
        """A session after Salesforce refused the token `rejected`; SignInError if there is none."""


class Door:
    """The one place that holds the current session; safe to use from several threads.

    Salesforce locks users out who fail to sign in a few times, so a refused sign-in is the last one: every thread that
    waits gets the same answer. Sessions that end as fast as they are made are given up as well.
    """

    def __init__(self, sign_in: SignIn) -> None:
        self._sign_in = sign_in
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._renewed: deque[float] = deque(maxlen=_RENEWALS)  # monotonic seconds
        self._refused: SignInError | None = None

    def session(self) -> Session:
        """The current session; signs in on first use."""
        with self._lock:
            if self._session is None:
                self._session = self._signed_in(self._sign_in.first)
            return self._session

    def renew(self, rejected: str) -> Session:
        """The session to go on with after a 401; several threads with the same token renew it once."""
        with self._lock:
            if self._session is None or self._session.access_token == rejected:
                self._session = self._signed_in(lambda: self._another(rejected))
            return self._session

    def _another(self, rejected: str) -> Session:
        now = time.monotonic()
        if len(self._renewed) == _RENEWALS and now - self._renewed[0] < _WITHIN:
            raise SignInError(
                f"Salesforce ended {_RENEWALS} sessions within {_WITHIN // 60} minutes.",
                hint="Look for another program that signs in as the same user, and at the user's session policies.",
            )
        self._renewed.append(now)
        return self._sign_in.again(rejected)

    def _signed_in(self, sign_in: Callable[[], Session]) -> Session:
        if self._refused is not None:
            raise self._refused
        try:
            return sign_in()
        except SignInError as refused:
            self._refused = refused
            raise


class GivenSession:
    """auth_type session: somebody else signs in; a unix socket hands out fresh tokens."""

    def __init__(self, settings: Settings) -> None:
        self._auth = settings.auth
        self._allow_private = settings.allow_private

    def first(self) -> Session:
        """The token of the configuration."""
        return self._checked(str(self._auth["access_token"]), str(self._auth["instance_url"]))

    def again(self, rejected: str) -> Session:
        """The token the socket answers with."""
        path = self._auth.get("token_socket")
        if not path:
            raise SignInError(
                "Salesforce refused the access token: INVALID_SESSION_ID.",
                hint="Sign in again and run once more with a fresh access_token.",
            )
        token, url = ask_for_token(str(path), rejected)
        if token == rejected:
            raise SignInError(
                "Salesforce refused the access token, and no fresher one was handed out.",
                hint="Sign in to Salesforce again.",
            )
        log.info("Salesforce ended the session; continuing with a fresh token.")
        return self._checked(token, url)

    def _checked(self, token: str, url: str) -> Session:
        return Session(token, hosts.instance_url(url, allow_private=self._allow_private))


class OAuth:
    """The four grants of Salesforce's token endpoint."""

    def __init__(self, settings: Settings, post: "Post", *, save_token: Callable[[str, str], None]) -> None:
        self._settings = settings
        self._auth: dict[str, Any] = dict(settings.auth)
        self._post = post
        self._save_token = save_token

    def first(self) -> Session:
        """Ask the token endpoint; keep a rotated refresh token before anything else happens."""
        answer = self._ask()
        rotated, old = answer.get("refresh_token"), self._auth.get("refresh_token")
        if self._auth["auth_type"] == "oauth_refresh" and rotated and rotated != old:
            self._auth["refresh_token"] = str(rotated)
            self._save_token(str(old), str(rotated))
        token, url = answer.get("access_token"), answer.get("instance_url")
        if not isinstance(token, str) or not isinstance(url, str):
            raise SignInError(
                "Salesforce's sign-in answer holds no access token.",
                hint="Check that domain is the org's My Domain host.",
            )
        return Session(token, hosts.instance_url(url, allow_private=self._settings.allow_private))

    def again(self, rejected: str) -> Session:
        """Sign in once more with the same facts (and the newest refresh token)."""
        log.info("Salesforce ended the session; signing in again.")
        session = self.first()
        if session.access_token == rejected:
            raise SignInError(
                "Salesforce refuses the access token it has just issued.",
                hint="Check the session policies of the External Client App and the user's login IP ranges.",
            )
        return session

    def _ask(self) -> Mapping[str, Any]:
        url = f"{self._settings.login_url}/services/oauth2/token"
        return _token_answer(self._post.send(url, self._form))

    def _form(self) -> dict[str, str]:
        auth = self._auth
        app = {name: str(auth[name]) for name in ("client_id", "client_secret") if auth.get(name)}
        match auth["auth_type"]:
            case "oauth_refresh":
                return {"grant_type": "refresh_token", "refresh_token": auth["refresh_token"], **app}
            case "client_credentials":
                return {"grant_type": "client_credentials", **app}
            case "password":
                secret = f"{auth['password']}{auth.get('security_token') or ''}"
                return {"grant_type": "password", "username": auth["username"], "password": secret, **app}
            case _:
                grant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
                return {"grant_type": grant, "assertion": self._assertion()}

    def _assertion(self) -> str:
        import jwt  # late, as with cryptography it is a tenth of the tap's start

        auth, now = self._auth, int(time.time())
        claims = {
            "iss": auth["client_id"],
            "sub": auth["username"],
            "aud": self._settings.login_url,
            "exp": now + _JWT_SECONDS,
        }
        try:
            return jwt.encode(claims, _pem(auth["private_key"]), algorithm="RS256")
        except (ValueError, TypeError, jwt.PyJWTError):
            # The library's message may quote the key: say it in our own words, and drop the cause.
            raise ConfigError(
                "auth.private_key is not an RSA private key in PEM form.",
                hint="Paste the whole key file, from -----BEGIN to -----END, without a passphrase.",
            ) from None


class Post:
    """Sends sign-in requests: no credentials but those in the body, no redirects, passing trouble retried."""

    def __init__(self, http: requests.Session, backoff: Backoff, *, timeout: float) -> None:
        self._http = http
        self._backoff = backoff
        self._timeout = (10.0, timeout)

    def send(
        self, url: str, body: Callable[[], Mapping[str, str] | bytes], headers: Mapping[str, str] | None = None
    ) -> requests.Response:
        """The answer, whatever it says, unless it is passing trouble. body: made anew for each try."""
        host = url.split("/services", maxsplit=1)[0]
        for attempt in self._backoff.attempts():
            try:
                reply = self._http.post(
                    url, data=body(), headers=headers, auth=_no_auth, allow_redirects=False, timeout=self._timeout
                )
            except requests.RequestException as lost:
                problem = unreached(host, lost, answered=False)
                if not isinstance(problem, UnavailableError):
                    raise problem from None
                attempt.failed(problem, patience=FIRST_CONTACT)
                continue
            if reply.status_code not in _RETRIED or b"<faultstring>" in reply.content:
                return reply
            busy = UnavailableError(f"{host} answered {reply.status_code}.", hint="Try again in some minutes.")
            attempt.failed(busy, retry_after=reply.headers.get("Retry-After"))
        raise AssertionError("attempts() ends by raising")


def _pem(text: str) -> str:
    """The key with real line ends: environment variables and forms often carry them as backslash-n."""
    return text.strip().replace("\\n", "\n") + "\n"


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keeps requests from adding credentials out of ~/.netrc."""
    return request


def _token_answer(reply: requests.Response) -> Mapping[str, Any]:
    try:
        answer = reply.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise SignInError(
            f"{reply.url.split('/services')[0]} is not a Salesforce sign-in (HTTP {reply.status_code}).",
            hint="Check domain: it must be the org's My Domain host, or login/test.salesforce.com.",
        )
    if reply.status_code == requests.codes.ok and "error" not in answer:
        return answer
    error = str(answer.get("error") or f"HTTP {reply.status_code}")
    said = str(answer.get("error_description") or "").strip()
    reason = f"{error} ({said})" if said else error
    raise SignInError(f"Salesforce refused the sign-in: {reason}.", hint=_advice(error, said))


def _advice(error: str, said: str) -> str:
    """What to do about Salesforce's OAuth error codes. source: Salesforce Help, "OAuth Error Codes"."""
    if "expired" in said or ("token" in said and error == "invalid_grant"):
        return "The refresh token no longer works: sign in to Salesforce again."
    advice = {
        "invalid_client_id": "Check the consumer key (client_id) and the domain.",
        "invalid_client": "Check the consumer key and consumer secret.",
        "invalid_grant": "Check the credentials, the user's profile and its login IP ranges and hours.",
        "invalid_app_access": "An administrator must approve the app for this user.",
        "inactive_user": "Have an administrator activate the user.",
        "inactive_org": "Check that the org is open for sign-in.",
        "unsupported_grant_type": "Switch this flow on in the External Client App, or choose another way to sign in.",
        "rate_limit_exceeded": "Wait some minutes: too many sign-ins.",
    }
    return advice.get(error, "Check the credentials and the External Client App's settings.")
