"""Which internet addresses may be called on behalf of a tenant, and strict reading of the URLs they give."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from orchestrator.kernel.errors import NotAllowedError

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Private addresses; an operator may allow them.
_PRIVATE: tuple[_Network, ...] = tuple(
    ipaddress.ip_network(net)
    for net in ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")
)
_LOOPBACK: tuple[_Network, ...] = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
# Never called. `ipaddress.is_global` would let several pass, NAT64, 6to4 and multicast among them.
# source: IANA IPv4 and IPv6 Special-Purpose Address Registries; 168.63.129.16 is Azure's host, fd00:ec2:: AWS's
_NEVER: tuple[_Network, ...] = tuple(
    ipaddress.ip_network(net)
    for net in (
        "0.0.0.0/8",
        "168.63.129.16/32",
        "169.254.0.0/16",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "2620:4f:8000::/48",
        "3fff::/20",
        "fd00:ec2::/32",
    )
)
_GLOBAL_V6 = ipaddress.ip_network("2000::/3")  # what is outside is special: mapped, NAT64, link-local, multicast …
_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?")
_VISIBLE = re.compile(r"[!-~]+")  # ASCII without blanks and control characters
_DEFAULT_PORTS = {"https": 443, "http": 80}
_HTTPS_PORT = 443
_FIRST_UNPRIVILEGED_PORT = 1024
_LAST_PORT = 65535


class AddressNotAllowedError(NotAllowedError):
    """We don't call this address on behalf of a tenant."""

    code = "address_not_allowed"

    def __init__(self, where: str, why: str) -> None:
        super().__init__(
            f"{where} is not called: {why}.",
            hint="Use a public https address; an operator can allow private ones: ORCHESTRATOR_NETWORK__ALLOW_PRIVATE.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a URL points.

    host:    lower case, without a final dot; an IPv6 address without brackets
    target:  path and query, as sent
    """

    scheme: str
    host: str
    port: int
    target: str

    @property
    def where(self) -> str:
        """Host and port, for messages: never the path or the query."""
        return where(self.host, self.port)

    @property
    def host_header(self) -> str:
        """The host, with the port where it isn't the scheme's own."""
        return (where(self.host, self.port)).removesuffix(f":{_DEFAULT_PORTS[self.scheme]}")


def refusal(address: str, *, allow_private: bool) -> str | None:
    """Why a resolved address is not called; None where it may be."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return "it is no internet address"
    if _within(ip, _NEVER):
        return "it is reserved"
    if _within(ip, _PRIVATE):
        return None if allow_private else "it is private"
    return "it is reserved" if ip.version == 6 and ip not in _GLOBAL_V6 else None  # noqa: PLR2004 - IPv6


def is_private(address: str) -> bool:
    """Whether it is one of those that only an operator can allow."""
    return _within(ipaddress.ip_address(address), _PRIVATE)


def is_loopback(address: str) -> bool:
    """Whether it is this machine."""
    return _within(ipaddress.ip_address(address), _LOOPBACK)


def host_matches(host: str, allowed: Sequence[str]) -> bool:
    """Whether a name is one of these or lies under one: `acme.my.salesforce.com` under `salesforce.com`."""
    name = host.lower().removesuffix(".")
    suffixes = [suffix.lower().removeprefix("*").strip(".") for suffix in allowed]
    return any(name == suffix or name.endswith(f".{suffix}") for suffix in suffixes if suffix)


def parsed(url: str) -> Address:
    """Take a URL apart; what two parsers could read differently is refused. Raises AddressNotAllowedError."""
    parts = _split(url)
    scheme = parts.scheme
    if scheme not in ("https", "http"):
        raise AddressNotAllowedError("The given URL", "it isn't https")
    if "@" in parts.netloc:
        raise AddressNotAllowedError("The given URL", "it holds a user name or password")
    name = host(parts.hostname or "")
    port = _DEFAULT_PORTS[scheme] if parts.port is None else parts.port
    check_port(where(name, port), port)
    path = parts.path or "/"
    return Address(scheme=scheme, host=name, port=port, target=f"{path}?{parts.query}" if parts.query else path)


def _split(url: str) -> SplitResult:
    if not _VISIBLE.fullmatch(url) or "\\" in url:
        raise AddressNotAllowedError("The given URL", "it holds characters that a URL can't")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise AddressNotAllowedError("The given URL", "it can't be read") from None
    return parts


def host(text: str) -> str:
    """A host name or literal address in its plain form. Raises AddressNotAllowedError."""
    name = text.lower().removesuffix(".")
    if ":" in name and "%" not in name:
        try:
            return str(ipaddress.IPv6Address(name))
        except ValueError:
            raise AddressNotAllowedError("The given host", "it is no internet address") from None
    if not _HOST.fullmatch(name) or ".." in name:
        raise AddressNotAllowedError("The given host", "it is no host name (names with accents: use their xn-- form)")
    return name


def check_port(shown: str, port: int) -> None:
    """Refuse what is no port. Raises AddressNotAllowedError."""
    if not 0 < port <= _LAST_PORT:
        raise AddressNotAllowedError(shown, "that is no port")


def check_public_port(shown: str, port: int) -> None:
    """Refuse ports where servers of other kinds listen. Raises AddressNotAllowedError."""
    if port != _HTTPS_PORT and port < _FIRST_UNPRIVILEGED_PORT:
        raise AddressNotAllowedError(shown, "that port is not for https")


def where(name: str, port: int) -> str:
    """Host and port as people write them."""
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


def _within(ip: ipaddress.IPv4Address | ipaddress.IPv6Address, networks: Sequence[_Network]) -> bool:
    return any(ip in net for net in networks)
