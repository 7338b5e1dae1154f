"""HTTP with one org: bearer token, a new session after a 401, retries, and Salesforce's errors as ours."""

import json
import logging
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError as TransportError

from tap_salesforce import advice
from tap_salesforce.auth import Door, Session
from tap_salesforce.backoff import Attempt, Backoff
from tap_salesforce.errors import (
    AccessError,
    AnswerError,
    QuotaError,
    RateLimitedError,
    SignInError,
    SourceError,
    UnavailableError,
)
from tap_salesforce.unreached import FIRST_CONTACT, unreached

log = logging.getLogger("tap-salesforce")

RENEWALS = 5  # sessions that one request may find ended before it is given up
RETRIED_STATUS = frozenset({408, 429, 500, 502, 503, 504})
# source: SOAP API Developer Guide, "ExceptionCode": passing trouble whatever the HTTP status
RETRIED_CODES = frozenset({"SERVER_UNAVAILABLE", "UNABLE_TO_LOCK_ROW", "CONCURRENT_REQUESTS_LIMIT"})
# What a broken connection looks like, before and within a body.
LOST = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError, TransportError)
_USAGE = re.compile(r"api-usage=(\d+)/(\d+)")
_UNREADABLE = "Try again; if it stays so, ask Salesforce support."


class Bearer(requests.auth.AuthBase):
    """Puts the token into each request, and keeps ~/.netrc out of it."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """What requests calls."""
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def http_session(connections: int) -> requests.Session:
    """Connections that are kept alive, without cookies; proxies and CA bundles from the environment."""
    http = requests.Session()
    http.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    http.headers["User-Agent"] = "tap-salesforce"
    http.headers["Accept-Encoding"] = "gzip"
    for scheme in ("https://", "http://"):
        http.mount(scheme, HTTPAdapter(pool_connections=2, pool_maxsize=max(4, connections)))
    return http


class Client:
    """Requests to one org. Paths are relative to /services/data/vXX.X/ unless they begin with '/'."""

    def __init__(
        self,
        door: Door,
        http: requests.Session,
        backoff: Backoff,
        *,
        api_version: str,
        timeout: float,
        max_api_usage: float,
    ) -> None:
        self._door = door
        self._http = http
        self._timeout = (10.0, timeout)
        self._max_api_usage = max_api_usage
        self._base = f"/services/data/v{api_version}/"
        self._skew = timedelta()
        self._answered = False
        self._used = 0, 0  # requests of the day, and how many there may be
        self.backoff = backoff
        self.requests_made = 0

    def json(self, method: str, path: str, **more: Any) -> Any:
        """The JSON answer (numbers stay text, so that nothing is rounded: see records.py); None if empty.

        The whole body is read inside the retry, so a connection lost half-way repeats this request only.
        """
        for attempt in self.backoff.attempts():
            self._within_share()
            try:
                reply = self._send(method, path, **more)
                content = reply.content
            except LOST as lost:
                self._lost(attempt, lost)
                continue
            problem = self._problem(reply, path)
            if problem is not None:
                self._retry_or_raise(attempt, reply, problem)
                continue
            if not content:
                return None
            try:
                return json.loads(content.decode(), parse_float=str, parse_int=str)
            except ValueError:
                attempt.failed(UnavailableError("Salesforce's answer is not JSON.", hint=_UNREADABLE))
        raise AssertionError("attempts() ends by raising")

    def open(self, path: str, **more: Any) -> requests.Response:
        """An answer whose body is still to be read; close it. Refusals are raised, passing trouble retried."""
        for attempt in self.backoff.attempts():
            self._within_share()
            try:
                reply = self._send("GET", path, stream=True, **more)
                problem = self._problem(reply, path)
            except LOST as lost:
                self._lost(attempt, lost)
                continue
            if problem is None:
                return reply
            reply.close()
            self._retry_or_raise(attempt, reply, problem)
        raise AssertionError("attempts() ends by raising")

    def once(self, method: str, path: str, **more: Any) -> None:
        """A request whose outcome does not matter: no retry, a short time-out."""
        self._send(method, path, timeout=(3.0, 5.0), **more).close()

    def org(self) -> str | None:
        """The id of the org that answers, as far as the session tells."""
        return self._door.session().org

    def server_time(self) -> datetime:
        """Salesforce's clock as of its last answer, to the second: bookmarks are compared with its stamps."""
        return (datetime.now(UTC) + self._skew).replace(microsecond=0)

    def _send(self, method: str, path: str, **more: Any) -> requests.Response:
        """One request; after a 401 again with a renewed session, which another request's 401 may have ended by then."""
        session = self._door.session()
        reply = self._once(session, method, path, **more)
        self._answered = True
        for number in range(RENEWALS):
            if reply.status_code != requests.codes.unauthorized:
                break
            reply.close()
            if number:
                self.backoff.pause(number)
            session = self._door.renew(session.access_token)
            reply = self._once(session, method, path, **more)
        self._skew = _date_of(reply.headers.get("Date")) - datetime.now(UTC)
        self._watch_usage(reply)
        return reply

    def _once(
        self, session: Session, method: str, path: str, *, accept: str = "application/json", **more: Any
    ) -> requests.Response:
        self.requests_made += 1
        return self._http.request(
            method,
            urljoin(session.instance_url + self._base, _own_path(path)),
            auth=Bearer(session.access_token),
            headers={"Accept": accept},
            allow_redirects=False,
            **{"timeout": self._timeout, **more},
        )

    def _watch_usage(self, reply: requests.Response) -> None:
        """Remember how much of the day's requests is used. source: REST guide, "Limit Info Header"."""
        found = _USAGE.search(reply.headers.get("Sforce-Limit-Info", ""))
        if found:
            self._used = int(found[1]), int(found[2])

    def _within_share(self) -> None:
        """Stop before the org is locked out for everybody; what was answered so far is not lost."""
        used, limit = self._used
        if limit and used * 100 >= limit * self._max_api_usage:
            raise QuotaError(
                f"The org has used {used:,} of its {limit:,} daily API requests.",
                hint="The next run goes on from here; raise max_api_usage_percent or buy requests to go on now.",
            )

    def _problem(self, reply: requests.Response, path: str) -> SourceError | None:
        """What the answer complains about, as our error; None for a good one."""
        if reply.status_code < 300:  # noqa: PLR2004 - HTTP's own number
            return None
        code, said = _first_error(reply)
        reason = f"{code}: {said}" if code else said or f"HTTP {reply.status_code}"
        return _passing(reply.status_code, code, reason) or _lasting(reply.status_code, code, reason, path)

    def _lost(self, attempt: Attempt, lost: Exception) -> None:
        """Wait before the next try, or raise; an org that has never answered is not waited for as long."""
        problem = unreached(self._door.session().instance_url, lost, answered=self._answered)
        if not isinstance(problem, UnavailableError):
            raise problem
        log.info("%s Trying again.", problem.message)
        attempt.failed(problem, patience=math.inf if self._answered else FIRST_CONTACT)

    @staticmethod
    def _retry_or_raise(attempt: Attempt, reply: requests.Response, problem: SourceError) -> None:
        if not isinstance(problem, (UnavailableError, RateLimitedError)):
            raise problem
        log.info("%s Trying again.", problem.message)
        attempt.failed(problem, retry_after=reply.headers.get("Retry-After"))


def _passing(status: int, code: str, reason: str) -> SourceError | None:
    """Trouble that is worth another try."""
    if status == requests.codes.too_many_requests:
        return RateLimitedError(f"Salesforce asks to slow down ({reason}).", hint="Lower max_workers.")
    if code in advice.POINTLESS_TO_REPEAT:
        return None
    if status in RETRIED_STATUS or code in RETRIED_CODES:
        return UnavailableError(f"Salesforce cannot answer now ({reason}).", hint="Try again in some minutes.")
    return None


def _lasting(status: int, code: str, reason: str, path: str) -> SourceError:
    """Trouble that another try would not change."""
    if code == "REQUEST_LIMIT_EXCEEDED":
        return QuotaError(
            f"Salesforce allows the org no more API requests for now ({reason}).",
            hint="Wait until the daily limit is free again, or lower max_workers.",
        )
    if status == requests.codes.unauthorized:
        return SignInError(f"Salesforce refused the session: {reason}.", hint="Sign in to Salesforce again.")
    if status == requests.codes.forbidden:
        return AccessError(
            f"Salesforce does not let this user read {_named(path)} ({reason}).",
            hint="Give the user the permission (API Enabled, object and field access).",
        )
    return AnswerError(
        f"Salesforce refused {_named(path)} ({reason}).",
        hint=advice.hint(code, "Check the objects and fields selected, and api_version."),
        status=status,
        code=code,
    )


def _own_path(path: str) -> str:
    """Only paths: an answer must not lead the token to another host."""
    parts = urlsplit(path)
    return parts._replace(scheme="", netloc="").geturl()


def _named(path: str) -> str:
    return "/" + urlsplit(path).path.strip("/")


def _first_error(reply: requests.Response) -> tuple[str, str]:
    """(errorCode, message) of Salesforce's error list; ('', '') if it is something else."""
    try:
        errors = reply.json()
    except (ValueError, *LOST):
        return "", ""
    first = errors[0] if isinstance(errors, list) and errors else errors
    if not isinstance(first, Mapping):
        return "", ""
    code = first.get("errorCode") or first.get("error") or ""
    said = first.get("message") or first.get("error_description") or ""
    return str(code), " ".join(str(said).split())[:500]


def _date_of(header: str | None) -> datetime:
    try:
        moment = parsedate_to_datetime(header or "")
    except (TypeError, ValueError):
        return datetime.now(UTC)
    return moment.astimezone(UTC)
