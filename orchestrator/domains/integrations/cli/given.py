"""Values of a form from files, the environment and the command line; secrets never from the command line itself."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.domains.catalog import rules
from orchestrator.domains.catalog.errors import InvalidValueError
from orchestrator.domains.catalog.rules import walk
from orchestrator.domains.catalog.types import Connector
from orchestrator.domains.integrations.errors import InvalidIntegrationConfigError
from orchestrator.kernel.errors import UsageError

_STDIN = "-"
_LARGEST = 4 * 1024 * 1024

Config = Annotated[
    str | None,
    typer.Option("--config", "-c", metavar="FILE", help="Fields as JSON or YAML; - reads stdin."),
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="One field that is not secret, such as start_date=2024-01-01."),
]
Secrets = Annotated[
    list[str] | None,
    typer.Option("--secret", metavar="PATH=@FILE", help="One field from a file; @- reads stdin."),
]
SecretEnvs = Annotated[
    list[str] | None,
    typer.Option("--secret-env", metavar="PATH=NAME", help="One field from an environment variable."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a command was called with."""

    config: str | None
    sets: Sequence[str]
    secrets: Sequence[str]
    secret_envs: Sequence[str]

    @property
    def any(self) -> bool:
        """Whether there is anything."""
        return bool(self.config or self.sets or self.secrets or self.secret_envs)

    def values(self, connector: Connector, variant: str, before: Mapping[str, Any]) -> dict[str, Any]:
        """The fields: those before, with top-level fields of the document in their place, and single ones after that.

        Raises UsageError for what can't be read, InvalidIntegrationConfigError for texts that are no value.
        """
        if [self.config, *(one.partition("=@")[2] for one in self.secrets)].count(_STDIN) > 1:
            raise UsageError("Only one thing can be read from stdin.", hint="Put the others into files.")
        texts: dict[tuple[str, ...], str] = {}
        document = _document(self.config, texts) if self.config else {}
        values: dict[str, Any] = {**rules.join(before, {}), **document}
        texts |= self._texts(connector)
        for path, text in texts.items():
            if not walk.can_hold(values, path):
                raise UsageError(f"{'.'.join(path)} can't be set: a part of it is not an object.")
            walk.put(values, path, text)
        _parse(connector, variant, values, texts)
        return values

    def _texts(self, connector: Connector) -> dict[tuple[str, ...], str]:
        """Single fields as texts, by path."""
        secret = set(rules.secret_names(connector))
        found: dict[tuple[str, ...], str] = {}
        for one in self.sets:
            path, text = _pair(one, "--set", "start_date=2024-01-01")
            if path in secret:
                raise SecretOnCommandLineError(path)
            found[_split(path)] = text
        for one in self.secrets:
            path, text = _pair(one, "--secret", "auth.client_secret=@secret.txt")
            if not text.startswith("@"):
                raise SecretOnCommandLineError(path)
            found[_split(path)] = _file(text[1:])
        for one in self.secret_envs:
            path, name = _pair(one, "--secret-env", "auth.client_secret=SALESFORCE_SECRET")
            found[_split(path)] = _variable(name)
        return found


class SecretOnCommandLineError(UsageError):
    """A secret's value stood on the command line."""

    code = "secret_on_command_line"

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} is a secret, and everybody on this machine can see a command line. Nothing was saved.",
            hint=f"Use --secret {path}=@FILE, --secret-env {path}=NAME, or the config file. "
            "If it was the real one, change it at its source.",
            path=path,
        )


def _parse(connector: Connector, variant: str, values: dict[str, Any], texts: Mapping[tuple[str, ...], str]) -> None:
    """Turn the texts into values of their fields. Choices first: which fields there are depends on them."""
    problems: list[tuple[str, str]] = []
    for choices in (True, False):
        for field in rules.fields(connector, values, variant=variant):
            if field.path in texts and bool(field.schema.get("oneOf")) is choices:
                try:
                    walk.put(values, field.path, rules.parse(field, texts[field.path]))
                except InvalidValueError as error:
                    problems.append((field.name, error.message))
    if problems:
        raise InvalidIntegrationConfigError(connector.title, tuple(problems))


def _split(path: str) -> tuple[str, ...]:
    return tuple(path.split("."))


def _pair(text: str, option: str, example: str) -> tuple[str, str]:
    path, equals, value = text.partition("=")
    if not equals or not path:
        raise UsageError(f"{option} takes a field and a value.", hint=f"For example: {option} {example}")
    return path, value


def _document(source: str, texts: dict[tuple[str, ...], str]) -> dict[str, Any]:
    """A document of fields; what it refers to by {"$env": name} or {"$file": path} is put into `texts`."""
    text = _file(source)
    name = "stdin" if source == _STDIN else source
    try:
        found = _plain(json.loads(text) if text.lstrip().startswith("{") else _yaml(text), (), texts)
    except ValueError as error:
        raise UsageError(f"{name} is neither JSON nor YAML: {error}", hint="Correct it; nothing was saved.") from None
    if not isinstance(found, dict):
        raise UsageError(f"{name} holds no fields.", hint='It should be an object: {"start_date": "2024-01-01", …}.')
    return found


def _yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise ValueError(f"{getattr(error, 'problem', None) or 'it can not be read'}{where}.") from None


def _plain(value: Any, path: tuple[str, ...], texts: dict[tuple[str, ...], str]) -> Any:
    """Dates, which YAML has and JSON has not, as text; references as what they stand for."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list):
        return [_plain(item, path, {}) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() in ({"$env"}, {"$file"}):
        [(kind, name)] = value.items()
        texts[path] = _variable(str(name)) if kind == "$env" else _file(str(name))
        return texts[path]
    return {str(name): _plain(item, (*path, str(name)), texts) for name, item in value.items()}


def _variable(name: str) -> str:
    value = os.environ.get(name)  # noqa: TID251 - the person names a variable of their own; it is no setting of ours
    if not value:
        raise UsageError(f"The environment variable {name} is not set, or empty.", hint=f"Set it: export {name}=…")
    return value


def _file(source: str) -> str:
    """The text of a file, or of stdin, without the line break at its end."""
    name = "stdin" if source == _STDIN else source
    try:
        whole = sys.stdin.buffer.read(_LARGEST) if source == _STDIN else Path(source).expanduser().read_bytes()
        return whole[:_LARGEST].decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise UsageError(f"{name} is not text in UTF-8.", hint="Save it as UTF-8.") from None
    except OSError as error:
        raise UsageError(f"{name} can't be read: {error.strerror}.", hint="Check the path.") from None
