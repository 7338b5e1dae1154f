"""Outgoing HTTP to addresses that tenants name: only to public ones, unless the operator allows private ones.

A name is resolved once; if any of its addresses is private or special, none is called; the address that was judged
is the one that is dialled, while TLS and the Host header keep the name. No redirects, no proxy from the environment,
no cookies; no connection is used twice. The whole exchange has one deadline and the answer's body a limit.
"""

import json
import logging
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import urlencode

from orchestrator.drivers import addresses
from orchestrator.drivers.addresses import Address, AddressNotAllowedError
from orchestrator.kernel.errors import InvalidConfigError, TemporaryError

if TYPE_CHECKING:  # urllib3 is imported with the first request: most commands make none
    from urllib3.connection import HTTPConnection
    from urllib3.response import BaseHTTPResponse

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]
Resolver = Callable[[str, int], Sequence[str]]
Reason = Literal["dns", "refused", "unreachable", "timeout", "tls", "reset", "protocol"]

_SENTENCES: Mapping[Reason, str] = {
    "dns": "its name can't be resolved",
    "refused": "it refuses the connection",
    "unreachable": "there is no way to it",
    "timeout": "it didn't answer in time",
    "tls": "its TLS certificate or handshake isn't right",
    "reset": "it closed the connection in the middle",
    "protocol": "it doesn't answer in HTTP",
}
_LASTING: frozenset[Reason] = frozenset({"dns", "tls", "protocol"})
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # source: RFC 9110, "token"
_HEADER_VALUE = re.compile(r"[ -~]*")
_CHUNK = 16 * 1024
_AGAIN = 0.05  # seconds between attempts to end an exchange that is over its time

# It would write whole URLs, with what they hold, where an answer's headers can't be parsed.
logging.getLogger("urllib3.connection").setLevel(logging.CRITICAL)


class UnreachableError(TemporaryError):
    """No answer was had.

    reason:     what kind of failure
    temporary:  worth trying again as it is
    sent:       the other side may have acted on the request
    """

    code = "unreachable"

    def __init__(self, where: str, reason: Reason, *, sent: bool = False, temporary: bool | None = None) -> None:
        lasting = reason in _LASTING if temporary is None else not temporary
        super().__init__(
            f"{where} can't be reached: {_SENTENCES[reason]}.",
            hint="Check the address." if lasting else "Try again later.",
            reason=reason,
        )
        self.reason: Reason = reason
        self.temporary = not lasting
        self.sent = sent


class UnsendableError(InvalidConfigError):
    """A header's value would end it and start another. Never shows the value."""

    code = "header_invalid"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The header {name!r} holds characters that can't be sent.",
            hint="Look for line breaks and letters with accents.",
        )


class UnreadableAnswerError(TemporaryError):
    """The answer isn't what was asked for: no JSON, or too much of it. Never shows the body."""

    code = "answer_unreadable"

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where} gave an answer that can't be read: {why}.", hint="Check the address.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What came back.

    where:    host and port, for messages
    headers:  names in lower case; repeated ones joined by ", "
    body:     at most `max_body` bytes; `truncated` tells whether there was more
    """

    where: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool = False

    def json(self) -> Any:
        """The body as JSON. Raises UnreadableAnswerError."""
        if self.truncated:
            raise UnreadableAnswerError(self.where, f"it is longer than {len(self.body)} bytes")
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise UnreadableAnswerError(self.where, f"it is not JSON (HTTP status {self.status})") from None


class Http:
    """A client for one process; threads may share it.

    allow_private:  loopback and private networks may be called, and without TLS
    resolve:        host and port to addresses; the system's resolver where not given
    trust:          certificates to trust; the system's where not given
    """

    def __init__(
        self, *, allow_private: bool, resolve: Resolver | None = None, trust: ssl.SSLContext | None = None
    ) -> None:
        self.allow_private = allow_private
        self._resolve = resolve or _system_resolver
        self._trust = trust

    def request(
        self,
        method: Method,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
        json: Any = None,
        body: bytes | None = None,
        timeout: float = 20.0,
        max_body: int = 64 * 1024,
        allowed_hosts: tuple[str, ...] | None = None,
    ) -> Response:
        """One request, one answer; an error status is an answer too.

        fields, json, body:  at most one of them: a form, a value, or bytes as they are
        timeout:             seconds for everything together, from name resolution to the last byte
        allowed_hosts:       the name must be one of these or lie under one; loopback is allowed where private is
        Raises AddressNotAllowedError, UnreachableError, UnsendableError.
        """
        address = addresses.parsed(url)
        content, kind = _content(fields, json, body)
        complete = _headers(headers, kind, address.host_header)
        with _Deadline(timeout) as deadline:
            found = self._resolved(address.host, address.port, deadline)
            _judge_web(address, found, allowed_hosts)
            connection = self._connected(address, found, deadline)
            with deadline.ending(connection, address.where, sent=True):
                connection.timeout = deadline.left()
                connection.request(
                    method, address.target, body=content, headers=complete, preload_content=False, decode_content=False
                )
                answer = connection.getresponse()
                data = _body(answer, max_body)
        return Response(
            where=address.where,
            status=answer.status,
            headers={name.lower(): value for name, value in answer.headers.items()},
            body=data[:max_body],
            truncated=len(data) > max_body,
        )

    def judge_host(self, host: str, port: int, *, timeout: float = 10.0) -> str:
        """Resolve a name that another program is about to call; the first of its addresses, all of them allowed.

        A program that resolves it once more may be answered differently: where it can, let it call this address.
        Raises AddressNotAllowedError, UnreachableError.
        """
        name = addresses.host(host)
        addresses.check_port(addresses.where(name, port), port)
        with _Deadline(timeout) as deadline:
            return self._resolved(name, port, deadline)[0]

    def tcp_reach(self, host: str, port: int, *, timeout: float = 10.0) -> None:
        """Open a connection and close it again. Raises AddressNotAllowedError, UnreachableError."""
        name = addresses.host(host)
        where = addresses.where(name, port)
        addresses.check_port(where, port)
        with _Deadline(timeout) as deadline:
            found = self._resolved(name, port, deadline)
            for left, one in _countdown(found):
                try:
                    socket.create_connection((one, port), deadline.left() / left).close()
                except OSError as error:
                    if left == 1:
                        raise UnreachableError(where, _connect_reason(error)) from None
                else:
                    return

    def _resolved(self, host: str, port: int, deadline: "_Deadline") -> tuple[str, ...]:
        """Every address of a name, once; all of them allowed."""
        where = addresses.where(host, port)
        found = tuple(dict.fromkeys(_resolve_in_time(self._resolve, host, port, deadline)))
        for one in found:
            why = addresses.refusal(one, allow_private=self.allow_private)
            if why:
                raise AddressNotAllowedError(where, why)
        return found

    def _connected(self, address: Address, found: Sequence[str], deadline: "_Deadline") -> "HTTPConnection":
        """A connection to the first address that takes one, within its share of the time."""
        for left, one in _countdown(found):
            connection = self._connection(address, one, deadline.left() / left)
            try:
                with deadline.ending(connection, address.where, sent=False, keep=True):
                    connection.connect()
            except UnreachableError as error:
                if left == 1 or error.reason == "tls":
                    raise
            else:
                return connection
        raise UnreachableError(address.where, "dns")  # pragma: no cover - a resolver that finds nothing has raised

    def _connection(self, address: Address, one: str, seconds: float) -> "HTTPConnection":
        from urllib3.connection import HTTPConnection, HTTPSConnection

        if address.scheme == "http":
            return HTTPConnection(one, address.port, timeout=seconds)
        trust = self._trust or _system_trust()
        return HTTPSConnection(one, address.port, timeout=seconds, ssl_context=trust, server_hostname=address.host)


class _Deadline:
    """One end for a whole exchange; a slow drip of bytes, which socket timeouts don't see, ends with it too."""

    def __init__(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds
        self._done = threading.Event()
        self._late = threading.Event()
        self._connection: HTTPConnection | None = None
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()

    def left(self) -> float:
        """Seconds left; a little where there are none, as 0 would mean something else to a socket."""
        return max(self._ends - time.monotonic(), 0.001)

    @contextmanager
    def ending(self, connection: "HTTPConnection", where: str, *, sent: bool, keep: bool = False) -> Iterator[None]:
        """Give failures their reason; the connection is closed in the end, unless it is to be kept when all is well."""
        from urllib3.exceptions import HTTPError

        self._connection = connection
        if not self._watcher.is_alive():
            self._watcher.start()
        try:
            yield
        except (OSError, HTTPError, HTTPException) as error:
            connection.close()
            reason: Reason = (
                "timeout" if self._late.is_set() else (_exchange_reason if sent else _connect_reason)(error)
            )
            raise UnreachableError(where, reason, sent=sent) from None
        except BaseException:
            connection.close()
            raise
        if not keep or self._late.is_set():
            connection.close()
        if self._late.is_set():
            raise UnreachableError(where, "timeout", sent=sent)

    def _watch(self) -> None:
        if self._done.wait(self.left()):
            return
        self._late.set()
        while not self._done.is_set():
            sock = self._connection.sock if self._connection else None
            if sock is not None:
                with suppress(OSError):
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)  # below TLS, which another thread is using
            self._done.wait(_AGAIN)


def _judge_web(address: Address, found: Sequence[str], allowed_hosts: tuple[str, ...] | None) -> None:
    if not all(addresses.is_private(one) for one in found):
        if address.scheme != "https":
            raise AddressNotAllowedError(address.where, "it isn't https")
        addresses.check_public_port(address.where, address.port)
    if allowed_hosts is None or addresses.host_matches(address.host, allowed_hosts):
        return
    if not all(addresses.is_loopback(one) for one in found):
        raise AddressNotAllowedError(address.where, f"it doesn't belong to {', '.join(allowed_hosts)}")


def _content(fields: Mapping[str, str] | None, value: Any, body: bytes | None) -> tuple[bytes | None, str | None]:
    if fields is not None:
        return urlencode(fields).encode(), "application/x-www-form-urlencoded"
    if value is not None:
        return json.dumps(value).encode(), "application/json"
    return body, None


def _headers(given: Mapping[str, str] | None, kind: str | None, host: str) -> dict[str, str]:
    headers = {"accept": "application/json", "user-agent": "orchestrator"}
    if kind:
        headers["content-type"] = kind
    for name, value in (given or {}).items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise UnsendableError(name)
        headers[name.lower()] = value
    return headers | {"host": host, "connection": "close", "accept-encoding": "identity"}


def _body(answer: "BaseHTTPResponse", limit: int) -> bytes:
    """Up to one byte more than the limit, which tells that there is more."""
    data = b""
    while len(data) <= limit:
        chunk = answer.read(min(_CHUNK, limit + 1 - len(data)))
        if not chunk:
            break
        data += chunk
    return data


def _resolve_in_time(resolve: Resolver, host: str, port: int, deadline: _Deadline) -> Sequence[str]:
    """The system's resolver can't be given a time; it gets a thread that may be left behind."""
    found: list[str] = []
    failures: list[Exception] = []

    def ask() -> None:
        try:
            found.extend(resolve(host, port))
        except (OSError, UnicodeError) as error:
            failures.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(deadline.left())
    where = addresses.where(host, port)
    if thread.is_alive():
        raise UnreachableError(where, "dns", temporary=True)
    if failures or not found:
        again = bool(failures) and getattr(failures[0], "errno", None) == socket.EAI_AGAIN
        raise UnreachableError(where, "dns", temporary=again)
    return found


def _system_resolver(host: str, port: int) -> list[str]:
    return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


@cache
def _system_trust() -> ssl.SSLContext:
    return ssl.create_default_context()


def _countdown(found: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Each address with the number of those not yet tried, itself included."""
    yield from ((len(found) - at, one) for at, one in enumerate(found))


def _connect_reason(error: BaseException) -> Reason:
    from urllib3.exceptions import ConnectTimeoutError, HTTPError

    cause = error.__cause__ if isinstance(error, HTTPError) and isinstance(error.__cause__, OSError) else error
    if isinstance(cause, ssl.SSLError | ssl.CertificateError):
        return "tls"
    if isinstance(cause, TimeoutError | ConnectTimeoutError):
        return "timeout"
    if isinstance(cause, ConnectionRefusedError):
        return "refused"
    return "reset" if isinstance(cause, ConnectionError) else "unreachable"


def _exchange_reason(error: BaseException) -> Reason:
    from urllib3.exceptions import ReadTimeoutError

    if isinstance(error, TimeoutError | ReadTimeoutError):
        return "timeout"
    return "protocol" if isinstance(error, HTTPException) and not isinstance(error, ConnectionError) else "reset"
