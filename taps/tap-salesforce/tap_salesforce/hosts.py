"""Which addresses the tap may talk to: Salesforce's own, and loopback where the operator allows it."""

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

from tap_salesforce.errors import ConfigError

# source: Salesforce Help, "My Domain URL Formats" (production, sandboxes, government, Alibaba Cloud)
SALESFORCE_SUFFIXES = (
    ".salesforce.com",
    ".force.com",
    ".salesforce.mil",
    ".cloudforce.com",
    ".sfcrmapps.cn",
    ".sfcrmproducts.cn",
)
_HOST = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")
_EXAMPLES = "Use a host such as acme.my.salesforce.com, login.salesforce.com or test.salesforce.com."


def login_url(domain: str, *, allow_private: bool) -> str:
    """The base URL to sign in at, from what people type: a host, or a URL. No path, no trailing slash."""
    text = domain.strip()
    return _base_url(text if "://" in text else f"https://{text}", "domain", allow_private=allow_private)


def instance_url(url: str, *, allow_private: bool) -> str:
    """The base URL of the org as a token answer names it: https on a Salesforce host, or refused."""
    return _base_url(url.strip(), "instance_url", allow_private=allow_private)


def _base_url(url: str, setting: str, *, allow_private: bool) -> str:
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        parts, host, port = urlsplit(""), "", None
    clean = parts.username is None and parts.password is None and not parts.query and not parts.fragment
    if not clean or parts.path not in ("", "/"):
        raise ConfigError(f"{setting} is not a plain Salesforce address.", hint=_EXAMPLES)
    if _is_loopback(host):
        if allow_private and parts.scheme in ("http", "https"):
            shown = f"[{host}]" if ":" in host else host
            return f"{parts.scheme}://{shown}" + (f":{port}" if port else "")
        raise ConfigError(
            f"{setting} points at this machine ({host}), which is not allowed.",
            hint="Use a Salesforce host, or have the operator set allow_private for a local org.",
        )
    if parts.scheme == "https" and port in (None, 443) and _HOST.fullmatch(host) and host.endswith(SALESFORCE_SUFFIXES):
        return f"https://{host}"
    raise ConfigError(f"{setting} ({host or 'empty'}) is not an https address of Salesforce.", hint=_EXAMPLES)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
