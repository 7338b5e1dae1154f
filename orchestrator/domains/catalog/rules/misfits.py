"""What a connector file gets wrong that a meta-schema can't say: names that point nowhere, defaults that don't fit."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.domains.catalog.rules import leaf, reading, walk
from orchestrator.domains.catalog.rules.addresses import PLACEHOLDER
from orchestrator.domains.catalog.rules.formats import ADDRESSES
from orchestrator.domains.catalog.rules.walk import Schema
from orchestrator.domains.catalog.types import Connector


def misfits(document: Mapping[str, Any], *, file_stem: str) -> tuple[str, ...]:
    """Each misfit as `/json/pointer: sentence`. The document passes the meta-schema already."""
    connector = reading.connector(document, sha256="")
    return tuple(
        f"{pointer}: {sentence}"
        for pointer, sentence in (
            *_names(connector, file_stem),
            *_form(connector, "", document),
            *_secrets(connector),
            *_bindings(connector),
            *_templates(connector),
        )
    )


def _names(connector: Connector, file_stem: str) -> Iterator[tuple[str, str]]:
    if connector.name != file_stem:
        yield "/x-catalog/name", f"is '{connector.name}', but the file is {file_stem}.json."
    if connector.default_variant not in connector.variants:
        yield "/x-catalog/default_variant", f"'{connector.default_variant}' is none of the variants."


def _form(connector: Connector, pointer: str, schema: Schema) -> Iterator[tuple[str, str]]:
    parts = schema["properties"]
    for name in schema.get("required", []):
        if name not in parts:
            yield f"{pointer}/required", f"'{name}' is none of the properties."
    for name, part in parts.items():
        where = f"{pointer}/properties/{name}"
        yield from _references(connector, where, part)
        if "oneOf" in part:
            yield from _choice(connector, where, part)
        elif "properties" in part:
            yield from _form(connector, where, part)
        elif "default" in part:
            for sentence in leaf.sentences(part, part["title"], part["default"]):
                yield f"{where}/default", sentence


def _choice(connector: Connector, where: str, part: Schema) -> Iterator[tuple[str, str]]:
    name = walk.tag_name(part)
    tags = [branch["properties"].get(name, {}).get("const") for branch in part["oneOf"]]
    for index, branch in enumerate(part["oneOf"]):
        if tags[index] is None:
            yield (
                f"{where}/oneOf/{index}/properties/{name}",
                "is missing or has no constant: nothing tells this branch.",
            )
        yield from _references(connector, f"{where}/oneOf/{index}", branch)
        yield from _form(connector, f"{where}/oneOf/{index}", branch)
    for value, times in Counter(tags).items():
        if times > 1 and value is not None:
            yield f"{where}/oneOf", f"{times} branches have the tag '{value}'."
    if "default" in part and part["default"].get(name) not in tags:
        yield f"{where}/default", "chooses none of the branches."


def _references(connector: Connector, where: str, part: Schema) -> Iterator[tuple[str, str]]:
    groups = {group["id"] for group in connector.schema.get("x-groups", [])}
    if "x-group" in part and part["x-group"] not in groups:
        yield f"{where}/x-group", f"'{part['x-group']}' is none of the groups."
    for keyword in ("x-variants", "x-setting-by-variant"):
        for variant in part.get(keyword, []):
            if variant not in connector.variants:
                yield f"{where}/{keyword}", f"'{variant}' is none of the variants."


def _secrets(connector: Connector) -> Iterator[tuple[str, str]]:
    kinds: dict[tuple[str, ...], set[bool]] = {}
    for path, schema in walk.every_leaf(connector.schema):
        if "const" not in schema:
            kinds.setdefault(path, set()).add(walk.is_secret(schema))
    for path, kind in kinds.items():
        if len(kind) > 1:
            yield "/properties/" + "/".join(path), "is a secret in one branch and not in another."


def _bindings(connector: Connector) -> Iterator[tuple[str, str]]:
    """Where there are secrets, every address must be one that they are bound to."""
    leaves = [(path, schema) for path, schema in walk.every_leaf(connector.schema) if "const" not in schema]
    any_secret = any(walk.is_secret(schema) for _, schema in leaves)
    for path, schema in leaves:
        where = "/properties/" + "/".join(path)
        if any_secret and schema.get("format") in ADDRESSES and not walk.binds_secrets(schema):
            yield where, "is an address that secrets are sent to; say so: x-binds-secrets."
        if walk.is_secret(schema) and walk.binds_secrets(schema):
            yield f"{where}/x-binds-secrets", "is for answers that say where secrets go, and this is a secret."


def _templates(connector: Connector) -> Iterator[tuple[str, str]]:
    known = {".".join(path) for path, _ in walk.every_leaf(connector.schema)} | {"instance_url"}
    for index, check in enumerate(connector.checks):
        for template in (check.url, check.host, check.port):
            yield from _placeholders(f"/x-checks/{index}", template, known)
        if check.token_field is not None and check.token_field not in known:
            yield f"/x-checks/{index}/token_field", f"'{check.token_field}' is none of the fields."
    for way in connector.sign_ins.values():
        token, oauth = way.token, way.oauth
        templates = [token.url, token.audience, token.soap_url] if token else []
        for template in [*templates, oauth.authorize_url if oauth else None]:
            yield from _placeholders(f"/properties/auth ({way.auth_type})", template, known)


def _placeholders(where: str, template: str | None, known: set[str]) -> Iterator[tuple[str, str]]:
    for name in PLACEHOLDER.findall(template or ""):
        if name not in known:
            yield where, f"the address names {{{name}}}, which is none of the fields."
