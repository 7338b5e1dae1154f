"""The formats a text may be asked to have, each with what it should look like, in words."""

import re
from collections.abc import Callable
from datetime import date, datetime
from ipaddress import ip_address
from urllib.parse import urlsplit

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_DATE_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,6})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.IGNORECASE | re.ASCII)
_HOST_LENGTH = 253  # source: RFC 1035 section 2.3.4
_LAST_PORT = 65535


def is_date(text: str) -> bool:
    """A calendar day: 2024-01-31."""
    return bool(_DATE.fullmatch(text)) and _parses(date.fromisoformat, text)


def is_date_time(text: str) -> bool:
    """An instant with its zone: 2024-01-31T00:00:00Z (RFC 3339)."""
    return bool(_DATE_TIME.fullmatch(text)) and _parses(datetime.fromisoformat, text.upper())


def is_host(text: str) -> bool:
    """A host name or an IP address; no scheme, port or path. A name of digits and dots only must be an address."""
    if "%" not in text and _parses(ip_address, text):  # what follows a % could be anything
        return True
    labels = text.removesuffix(".").split(".")
    named = len(text) <= _HOST_LENGTH and all(_LABEL.fullmatch(label) for label in labels)
    return named and not labels[-1].isdigit()


def is_uri(text: str) -> bool:
    """A web address without user and password."""
    return bare_host(text) is not None and "://" in text


def is_host_or_url(text: str) -> bool:
    """A host name, or a web address that is nothing but scheme, host and port."""
    if "://" not in text:
        return is_host(text)
    return is_uri(text) and urlsplit(text).path in {"", "/"} and not any(sign in text for sign in "?#")


def bare_host(text: str) -> str | None:
    """The host of a host name or web address; None where it is neither."""
    if "://" not in text:
        return text if is_host(text) else None
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    usable = parts.scheme in {"http", "https"} and "@" not in parts.netloc and not re.search(r"[\s\\]", text)
    if not usable or (port is not None and not 0 < port <= _LAST_PORT):
        return None
    return parts.hostname if parts.hostname and is_host(parts.hostname) else None


def _parses(parse: Callable[[str], object], text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


ADDRESSES = frozenset({"host", "host-or-url", "uri"})  # what plugins and checks connect to

FORMATS: dict[str, tuple[Callable[[str], bool], str]] = {
    "date": (is_date, "a date like 2024-01-31"),
    "date-time": (is_date_time, "a date and time like 2024-01-31T00:00:00Z"),
    "host": (is_host, "a host name like db.example.com"),
    "host-or-url": (is_host_or_url, "a host name like acme.my.salesforce.com"),
    "uri": (is_uri, "a web address like https://example.com"),
}
