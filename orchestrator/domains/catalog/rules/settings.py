"""From a connector's form to a plugin's own settings.

`x-setting` on a field (on a choice: for its tag) says where the value goes; without it the value keeps its path.
`x-setting-by-variant` overrides that for the variants it names. Either is null (not passed), a dotted key, an object
(what may stand in it says the meta-schema, schemas/connector.schema.json), or a list of those.
"""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import PurePath
from typing import Any

from pydantic import SecretStr

from orchestrator.domains.catalog.errors import MissingFactError, MissingSessionError, UnknownVariantError
from orchestrator.domains.catalog.rules import form, masking, walk
from orchestrator.domains.catalog.rules.walk import Schema
from orchestrator.domains.catalog.types import Connector, PluginSettings, Session, Variant

_DAY_LENGTH = len("2024-01-31")
_SECRET_FACTS = frozenset({"warehouse_url"})


def plugin_settings(
    connector: Connector,
    variant: str | Variant,
    config: Mapping[str, Any],
    secrets: Mapping[str, SecretStr],
    *,
    session: Session | None = None,
    operator: Mapping[str, Any] | None = None,
) -> PluginSettings:
    """What this variant's plugin is configured with: its own keys, nested where it nests them, secrets in the clear.

    operator:  facts of the installation that settings may need: `allow_private` (bool), `exports` (an absolute folder),
               `schema` (where the integration's tables go), `warehouse_url` (SQLAlchemy's form, secret)
    Raises MissingSessionError where the variant wants a session and there is none, UnknownVariantError, and
    MissingFactError where a fact of the operator is missing.
    """
    chosen = variant if isinstance(variant, Variant) else variant_of(connector, variant)
    facts = operator or {}
    answers = form.completed(connector, masking.join(config, secrets), variant=chosen.name)
    settings: dict[str, Any] = dict(chosen.settings)
    used: list[SecretStr] = []
    for setting, fact in chosen.operator_settings.items():
        walk.put(settings, _path(setting), _fact(fact, facts))
    for path, schema, value in _answers(connector, answers, chosen):
        for spec in _specs(path, schema, chosen.name):
            if spec.get("when", value) == value:
                made = _fact(spec["fact"], facts) if "fact" in spec else _converted(spec, value, facts)
                used += [made] if isinstance(made, SecretStr) else []
                walk.put(settings, _path(spec["key"]), _plain(made))
    if chosen.session_setting is not None:
        settings[chosen.session_setting], token = _session(chosen, session)
        used.append(token)
    return PluginSettings(values=settings, secrets=tuple(used))


def variant_of(connector: Connector, name: str) -> Variant:
    """The variant of that name. Raises UnknownVariantError."""
    if name not in connector.variants:
        raise UnknownVariantError(connector.name, name, tuple(connector.variants))
    return connector.variants[name]


def _answers(
    connector: Connector, answers: Mapping[str, Any], variant: Variant
) -> Iterator[tuple[tuple[str, ...], Schema, Any]]:
    """Every answer with its place in the form; those about signing in only where the plugin does that itself."""
    for leaf in walk.leaves(connector, answers, variant=variant.name):
        if variant.uses_session and leaf.path[0] == "auth":
            continue
        value = walk.at(answers, leaf.path)
        if value is None:
            continue
        yield leaf.path, leaf.schema, _as_secret(leaf.schema, value)


def _as_secret(schema: Schema, value: Any) -> Any:
    return SecretStr(value) if walk.is_secret(schema) and isinstance(value, str) else value


def _specs(path: tuple[str, ...], schema: Schema, variant: str) -> Iterator[Mapping[str, Any]]:
    given = schema.get("x-setting", ".".join(path))
    given = schema.get("x-setting-by-variant", {}).get(variant, given)
    for spec in given if isinstance(given, list) else [given]:
        if spec is not None:
            yield {"key": spec} if isinstance(spec, str) else spec


def _converted(spec: Mapping[str, Any], value: Any, facts: Mapping[str, Any]) -> Any:
    if "values" in spec:
        value = _mapped(spec, value)
    if spec.get("as") == "date-time" and len(value) == _DAY_LENGTH:
        value = f"{value}T00:00:00Z"
    if "each" in spec:
        value = [dict.fromkeys(spec["each"], item) for item in value]
    if "below" in spec:
        top, *deeper = [_fact(name, facts) for name in (spec["below"], *spec.get("then", []))]
        value = str(PurePath(top, value, *deeper))
    return value


def _mapped(spec: Mapping[str, Any], value: Any) -> Any:
    for pattern, replacement in spec["values"].items():
        if fnmatchcase(str(value), pattern):
            return replacement
    return spec.get("otherwise", value)


def _fact(name: str, facts: Mapping[str, Any]) -> Any:
    if name not in facts:
        raise MissingFactError(name)
    fact = facts[name]
    return SecretStr(fact) if name in _SECRET_FACTS and isinstance(fact, str) else fact


def _plain(value: Any) -> Any:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def _session(variant: Variant, session: Session | None) -> tuple[dict[str, Any], SecretStr]:
    """What stands in place of the sign-in fields, as our own taps take it (taps/tap-salesforce/README.md)."""
    if session is None:
        raise MissingSessionError(variant.name)
    passed = {
        "auth_type": "session",
        "access_token": session.access_token.get_secret_value(),
        "instance_url": session.instance_url,
    }
    if session.token_socket is not None:
        passed["token_socket"] = session.token_socket
    return passed, session.access_token


def _path(key: str) -> tuple[str, ...]:
    return tuple(key.split("."))
