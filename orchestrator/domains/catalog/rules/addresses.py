"""Addresses of a provider: templates filled in, and where they may point."""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from ipaddress import ip_address
from typing import Any
from urllib.parse import quote, urlsplit

from pydantic import SecretStr

from orchestrator.domains.catalog.errors import UnfilledTemplateError
from orchestrator.domains.catalog.rules import form, walk
from orchestrator.domains.catalog.rules.formats import ADDRESSES, bare_host
from orchestrator.domains.catalog.types import Connector, Dialled, Session, SignIn, TokenFacts

PLACEHOLDER = re.compile(r"\{([a-z0-9_.]+)\}")
_SCHEME = re.compile(r"^https?://", re.IGNORECASE)


def filled(template: str, config: Mapping[str, Any], session: Session | None = None) -> str:
    """The template with `{field}` taken from the configuration, and `{instance_url}` from the session.

    At the start of an address a bare host becomes `https://host`; elsewhere values are percent-encoded. A template
    that is nothing but one placeholder without a slash (a host, a port) gives the value as it is.
    Raises UnfilledTemplateError where a value is missing.
    """
    known = {**config} if session is None else {**config, "instance_url": session.instance_url}
    if PLACEHOLDER.fullmatch(template):
        return _value(template[1:-1], known)

    def replaced(match: re.Match[str]) -> str:
        value = _value(match[1], known)
        return quote(value, safe="") if match.start() else _base(value)

    return PLACEHOLDER.sub(replaced, template)


def sign_in(connector: Connector, config: Mapping[str, Any]) -> SignIn | None:
    """The way to sign in that this configuration chose; None where the connector has none, or none is chosen."""
    part = connector.schema["properties"].get("auth", {})
    if "oneOf" not in part:
        return None
    branch = walk.chosen(part, config.get("auth"))
    return None if branch is None else connector.sign_ins[walk.tag(part, branch)]


def audience(token: TokenFacts, config: Mapping[str, Any]) -> str | None:
    """Whom a JWT is for, given the address it is sent to; None where the grant has no audience."""
    host = urlsplit(filled(token.url, config)).hostname or ""
    for pattern, fixed in token.audience_by_host.items():
        if fnmatchcase(host, pattern):
            return fixed
    return None if token.audience is None else _base(filled(token.audience, config))


def host_allowed(connector: Connector, host: str, *, allow_private: bool = False) -> bool:
    """Whether the connector may call this host: one of its own, or a loopback one where the operator allows it."""
    name = host.rstrip(".").lower()
    if not connector.hosts or any(fnmatchcase(name, pattern) for pattern in connector.hosts):
        return True
    return allow_private and is_loopback(name)


def dialled(connector: Connector, config: Mapping[str, Any], *, variant: str | None = None) -> tuple[Dialled, ...]:
    """Every host of these answers that a plugin connects to, with its port, in form order."""
    answers = form.completed(connector, config, variant=variant)
    found = []
    for leaf in walk.leaves(connector, answers, variant=variant):
        value = walk.at(answers, leaf.path) if leaf.schema.get("format") in ADDRESSES else None
        host = bare_host(str(value)) if value is not None else None
        if host is not None:
            beside = walk.at(answers, (*leaf.path[:-1], "port"))
            found.append(Dialled(host, beside) if isinstance(beside, int) else host_and_port(str(value)))
    return tuple(found)


def host_and_port(address: str) -> Dialled:
    """Where a web address points; a bare host is called by https."""
    parts = urlsplit(address if _SCHEME.match(address) else f"https://{address}")
    return Dialled(parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443))


def is_loopback(host: str) -> bool:
    """Whether the host is this machine by its name alone; nothing is resolved."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_private(host: str) -> bool:
    """Whether the host is, by its name alone, an address that only this network knows; nothing is resolved.

    The last word has whoever dials: a public name may point to a private address.
    """
    if is_loopback(host):
        return True
    try:
        return not ip_address(host).is_global
    except ValueError:
        return False


def _value(name: str, known: Mapping[str, Any]) -> str:
    value = walk.at(known, tuple(name.split(".")))
    if value is None or isinstance(value, SecretStr | Mapping | list):
        raise UnfilledTemplateError(name)
    return str(value)


def _base(value: str) -> str:
    address = value if _SCHEME.match(value) else f"https://{value}"
    return address.rstrip("/")
