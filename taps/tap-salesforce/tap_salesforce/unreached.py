"""Why a request got no answer, in the words of whoever refused it, so that people know whom to ask."""

import errno
import os
import socket
import ssl
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import NameResolutionError, ReadTimeoutError

from tap_salesforce.errors import CertificateError, SourceError, UnavailableError

# How long an org that has not answered at all is tried: what is wrong is rarely passing, and somebody waits for it.
FIRST_CONTACT = 20.0  # seconds
_NAMES = "Check domain, and this machine's DNS."
_WAY = "Check network, VPN and firewall of this machine; then run again: it goes on where it stopped."
_HINTS = {
    errno.ECONNREFUSED: "Check domain and the proxy; if both are right, a firewall or the server itself refuses us.",
    errno.ENETUNREACH: _WAY,
    errno.EHOSTUNREACH: _WAY,
    errno.ETIMEDOUT: "A firewall may drop what we send; check network and proxy, then run again.",
}
_AGAIN = "Check the network and the proxy, then run again: it goes on where it stopped."

_SAID: tuple[tuple[Any, str, str], ...] = (
    (requests.exceptions.ProxyError, "Tunnel connection failed", "Correct HTTPS_PROXY and NO_PROXY."),
    ((socket.gaierror, NameResolutionError), "Name or service not known", _NAMES),
    (requests.exceptions.ConnectTimeout, os.strerror(errno.ETIMEDOUT), _HINTS[errno.ETIMEDOUT]),
    ((requests.exceptions.ReadTimeout, ReadTimeoutError), "Read timed out", _AGAIN),
)


def unreached(url: str, lost: Exception, *, answered: bool) -> SourceError:
    """The trouble behind an exception of requests or urllib3. Never quotes a URL's path.

    answered: whether the org has answered before, so that the connection broke rather than never came about
    """
    host = urlsplit(url).netloc
    chain = list(_chain(lost))
    for one in chain:
        if isinstance(one, ssl.SSLCertVerificationError):
            return CertificateError(
                f"The certificate of {host} is not trusted here: certificate verify failed ({one.verify_message}).",
                hint="Check domain; a proxy that opens TLS needs its authority among this machine's.",
            )
    why, hint = _reason(chain)
    what = "The connection to Salesforce broke again and again" if answered else "Salesforce can't be reached"
    return UnavailableError(f"{what} ({host}: {why}).", hint=hint)


def _reason(chain: list[BaseException]) -> tuple[str, str]:
    """What the system says of it, and what to do."""
    for one in chain:
        for kinds, said, hint in _SAID:
            if isinstance(one, kinds):
                return said, hint
        number = one.errno if isinstance(one, OSError) else None
        if number is not None and number in errno.errorcode:
            return os.strerror(number), _HINTS.get(number, _AGAIN)
    return type(chain[-1]).__name__, _AGAIN


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and all that it wraps: by cause, by context, as an argument or a reason, as these libraries do."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop(0)
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            inner = (one.__cause__, one.__context__, getattr(one, "reason", None), *one.args)
            waiting += [other for other in inner if isinstance(other, BaseException)]
