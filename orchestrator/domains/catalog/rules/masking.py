"""Secrets apart from the rest of a configuration, together again, and masked for people."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import SecretStr

from orchestrator.domains.catalog.rules import walk
from orchestrator.domains.catalog.types import Connector


def secret_names(connector: Connector, values: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """Dotted paths of the secrets these answers can hold; without answers, those of every branch."""
    if values is not None:
        paths = [leaf.path for leaf in walk.leaves(connector, values) if walk.is_secret(leaf.schema)]
    else:
        paths = [path for path, schema in walk.every_leaf(connector.schema) if walk.is_secret(schema)]
    return tuple(dict.fromkeys(".".join(path) for path in paths))


def split(connector: Connector, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, SecretStr]]:
    """The configuration without its secrets, and the secrets by dotted path.

    A name that is secret in any branch is taken as secret, so a wrong choice leaks nothing. Secrets left empty
    are in neither: on an edit they keep their old value.
    """
    config: dict[str, Any] = copied(values)
    secrets: dict[str, SecretStr] = {}
    for name in secret_names(connector):
        *parents, last = name.split(".")
        holder = walk.at(config, tuple(parents))
        if not isinstance(holder, dict) or last not in holder:
            continue
        value = holder.pop(last)
        plain = value.get_secret_value() if isinstance(value, SecretStr) else value
        if plain is not None and plain != "":
            secrets[name] = SecretStr(str(plain))
    return config, secrets


def join(config: Mapping[str, Any], secrets: Mapping[str, SecretStr]) -> dict[str, Any]:
    """The inverse of split: one nested configuration, with SecretStr where secrets stand."""
    values: dict[str, Any] = copied(config)
    for name, secret in secrets.items():
        walk.put(values, tuple(name.split(".")), secret)
    return values


def public(
    connector: Connector, config: Mapping[str, Any], secret_fields_set: Mapping[str, datetime | None]
) -> dict[str, Any]:
    """The configuration as people and programs may see it: of a secret only whether it is set, and since when."""
    shown, _ = split(connector, config)
    for name in secret_names(connector, config):
        since = secret_fields_set.get(name)
        state = {"set": name in secret_fields_set, "updated_at": since.isoformat() if since else None}
        walk.put(shown, tuple(name.split(".")), state)
    return shown


def copied(values: Any) -> Any:
    """The same objects and lists, anew, so that nobody's argument is changed."""
    if isinstance(values, Mapping):
        return {name: copied(value) for name, value in values.items()}
    return [copied(value) for value in values] if isinstance(values, list | tuple) else values
