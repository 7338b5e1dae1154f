"""From a connector file's JSON to a Connector. Assumes a file the meta-schema accepts."""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.domains.catalog.rules import walk
from orchestrator.domains.catalog.types import (
    Check,
    CheckKind,
    Connector,
    Grant,
    Kind,
    OAuthFacts,
    PluginType,
    SignIn,
    Status,
    TokenFacts,
    Variant,
    WindowSettings,
)

_REACHED = range(100, 500)  # any answer but a failure of the server shows that it is there


def connector(document: Mapping[str, Any], *, sha256: str) -> Connector:
    """The connector a file describes. Raises KeyError, TypeError, ValueError or AttributeError on a wrong shape."""
    card = document["x-catalog"]
    return Connector(
        name=card["name"],
        kind=Kind(card["kind"]),
        title=document["title"],
        publisher=card["publisher"],
        category=card["category"],
        description=card["description"],
        status=Status(card["status"]),
        plan=card["plan"],
        capabilities=tuple(card["capabilities"]),
        docs_url=card["docs_url"],
        icon=card["icon"],
        schema=document,
        variants={name: _variant(name, facts) for name, facts in card["variants"].items()},
        default_variant=card["default_variant"],
        checks=tuple(_check(facts) for facts in document.get("x-checks", [])),
        sign_ins={way.auth_type: way for way in _sign_ins(document, frozenset(card["variants"]))},
        hosts=tuple(document.get("x-network", {}).get("hosts", [])),
        sha256=sha256,
    )


def _variant(name: str, facts: Mapping[str, Any]) -> Variant:
    return Variant(
        name=name,
        title=facts["title"],
        description=facts.get("description", ""),
        plugin_type=PluginType(facts["type"]),
        plugin=facts["plugin"],
        lock=facts["lock"],
        namespace=facts["namespace"],
        session_setting=facts.get("session_setting"),
        settings=facts.get("settings", {}),
        operator_settings=facts.get("operator_settings", {}),
        counts=facts.get("counts", True),
        batch=tuple(facts.get("batch", [])),
        tombstones=facts.get("tombstones", False),
        continues=facts.get("continues", False),
        claims=facts.get("claims", False),
        window=WindowSettings(**facts["window"]) if "window" in facts else None,
        cuts_names_at=facts.get("cuts_names_at"),
        address_variable=facts.get("address_variable"),
    )


def _check(facts: Mapping[str, Any]) -> Check:
    known = {**facts, "kind": CheckKind(facts["kind"])}
    if "accepts" in facts:
        known["accepts"] = tuple(facts["accepts"]) or _REACHED
    return Check(**known)


def _sign_ins(document: Mapping[str, Any], variants: frozenset[str]) -> Iterator[SignIn]:
    way = document["properties"].get("auth", {})
    for branch in way.get("oneOf", []):
        yield SignIn(
            auth_type=branch["properties"][walk.tag_name(way)]["const"],
            title=branch["title"],
            description=branch.get("description", ""),
            token=_token(branch["x-token"]) if "x-token" in branch else None,
            oauth=_oauth(branch["x-oauth"]) if "x-oauth" in branch else None,
            variants=frozenset(branch.get("x-variants", variants)),
        )


def _token(facts: Mapping[str, Any]) -> TokenFacts:
    return TokenFacts(**{**facts, "grant": Grant(facts["grant"])})


def _oauth(facts: Mapping[str, Any]) -> OAuthFacts:
    return OAuthFacts(**{**facts, "scopes": tuple(facts["scopes"])})
