"""The environment: what settings are called in it, and reading them once, by entry; then they are passed down.

Names are ORCHESTRATOR_<SECTION>__<FIELD>; a few well-known names (DATABASE_URL, INTEGRATION_ENCRYPTION_KEY …)
keep their own. `.env.example` is generated from here.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from orchestrator.kernel import misfits
from orchestrator.kernel.db import is_postgres
from orchestrator.kernel.errors import InvalidConfigError, UsageError
from orchestrator.kernel.printable import is_plain
from orchestrator.kernel.settings import Settings, expanded

_PREFIX = "ORCHESTRATOR_"
_NO_ADDRESS = "must look like postgresql://user:password@host:5432/database"
_APP_NAME = re.compile(r"^([A-Z][A-Z0-9_]*)_CLIENT_(ID|SECRET)$")


class SettingsError(InvalidConfigError):
    """Variables of the environment that nobody can make sense of; as with a wrong option, nothing was begun."""

    code = "bad_settings"
    exit_code = UsageError.exit_code


def project_root() -> Path:
    """The folder with schemas/, plugins/ and taps/: the clone, or the copy inside an installed wheel."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "project"
    return inside if inside.is_dir() else package.parent


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the environment and the .env file beside the project (ORCHESTRATOR_ENV_FILE names another).

    Raises SettingsError that lists every wrong or unknown variable.
    """
    variables = os.environ if environ is None else environ  # noqa: TID251 - the one place that reads it
    env_file = Path(variables.get(f"{_PREFIX}ENV_FILE") or project_root() / ".env")
    merged = {**_file_values(env_file), **variables}
    _refuse_unknown(merged)
    _refuse([(name, "must be text in UTF-8") for name in _ours(merged) if not _is_text(merged[name])])
    values = {name: value for name, value in _nested(merged).items() if value != ""}
    try:
        found = Settings(oauth_apps=_oauth_apps(merged), **values)
    except ValidationError as error:
        problems = error.errors(include_input=False)
    else:
        addresses = (("DATABASE_URL", found.database_url), ("WAREHOUSE_URL", found.warehouse_url))
        _refuse([(name, _NO_ADDRESS) for name, address in addresses if not (address is None or is_postgres(address))])
        return found
    _refuse([(_variable(problem["loc"]), misfits.plain(problem)) for problem in problems])
    raise AssertionError("a ValidationError names a problem")  # pragma: no cover


def _refuse(problems: Sequence[tuple[str, str]]) -> None:
    if problems:
        raise SettingsError(
            "The environment has settings that don't fit: " + "; ".join(f"{name}: {text}" for name, text in problems),
            hint="Correct them; .env.example lists every setting.",
            problems=tuple(problems),
        )


def _ours(merged: Mapping[str, str]) -> list[str]:
    """Variables that we read, of those that are there."""
    known = {name for name, _, _ in variables()}
    return [name for name in merged if name in known or _APP_NAME.match(name)]


def _is_text(value: str) -> bool:
    """Whether it is UTF-8: other bytes come as lone surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def environment() -> dict[str, str]:
    """The process's variables, for drivers that hand a few of them on by name (certificates, proxies)."""
    return dict(os.environ)  # noqa: TID251 - the one place that reads it


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What another process needs of this one's environment to work on the same installation.

    plain:     variables with values that may be written down
    secret:    names of those that may not
    env_file:  where the other process looks for them
    """

    plain: Mapping[str, str]
    secret: tuple[str, ...]
    env_file: Path


def surroundings(settings: Settings, environ: Mapping[str, str] | None = None) -> Surroundings:
    """What a scheduler outside, which has none of this shell's variables, must be given; its home in any case."""
    given = environment() if environ is None else environ
    ours = {name: given[name] for name, _, _ in variables() if given.get(name)}
    apps = {name: given[name] for name in given if _APP_NAME.match(name) and _oauth_apps(given)}
    hidden = _secrets() | {name for name, value in ours.items() if not is_plain(value)}
    secret = sorted(name for name in ours if name in hidden) + sorted(apps)
    named, usual = given.get(f"{_PREFIX}ENV_FILE"), project_root() / ".env"
    env_file = expanded(Path(named)) if named else usual if usual.is_file() else settings.home / "environment"
    plain = {name: value for name, value in ours.items() if name not in hidden}
    plain[f"{_PREFIX}HOME"] = str(settings.home)
    if named or (secret and env_file != usual):
        plain[f"{_PREFIX}ENV_FILE"] = str(env_file)
    return Surroundings(plain=plain, secret=tuple(secret), env_file=env_file)


def variables() -> list[tuple[str, str, Any]]:
    """Every setting as (environment variable, description, default), in the order of the classes."""
    rows: list[tuple[str, str, Any]] = []
    for name, field in Settings.model_fields.items():
        section = field.default if isinstance(field.default, BaseModel) else None
        if section is not None:
            rows += [
                (f"{_PREFIX}{name}__{inner}".upper(), option.description or "", option.default)
                for inner, option in type(section).model_fields.items()
            ]
        elif not field.exclude:
            rows.append((_name(name), field.description or "", field.default))
    return rows


def _secrets() -> set[str]:
    """The variables whose values are secrets."""

    def hides(field: FieldInfo) -> bool:
        return SecretStr in (field.annotation, *get_args(field.annotation))

    names = {_name(name) for name, field in Settings.model_fields.items() if hides(field)}
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, BaseModel):
            inner = type(field.default).model_fields
            names |= {f"{_PREFIX}{name}__{one}".upper() for one in inner if hides(inner[one])}
    return names


def _name(field: str) -> str:
    alias = Settings.model_fields[field].validation_alias
    return alias if isinstance(alias, str) else f"{_PREFIX}{field}".upper()


def _variable(location: tuple[int | str, ...]) -> str:
    first = str(location[0])
    return "__".join(
        [
            first if first.isupper() else f"{_PREFIX}{first}".upper(),
            *(str(part).upper() for part in location[1:]),
        ]
    )


def _file_values(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    from dotenv import dotenv_values  # only where there is a file

    return {name: value for name, value in dotenv_values(path).items() if value is not None}


def _refuse_unknown(variables_seen: Mapping[str, str]) -> None:
    known = {row[0] for row in variables()} | {f"{_PREFIX}ENV_FILE"}
    unknown = sorted(name for name in variables_seen if name.startswith(_PREFIX) and name not in known)
    if unknown:
        near = get_close_matches(unknown[0], known, n=1)
        raise SettingsError(
            f"There is no setting {', '.join(unknown)}.",
            hint=f"Did you mean {near[0]}?" if near else "See .env.example for the names.",
            problems=tuple((name, "unknown setting") for name in unknown),
        )


def _nested(merged: Mapping[str, str]) -> dict[str, Any]:
    """What Settings takes as arguments; given explicitly so that the .env file and the environment act alike."""
    values: dict[str, Any] = {}
    for name, _, _ in variables():
        if merged.get(name):
            path = name.removeprefix(_PREFIX).lower().split("__") if name.startswith(_PREFIX) else [name]
            place = values
            for part in path[:-1]:
                place = place.setdefault(part, {})
            place[path[-1]] = merged[name]
    return values


def _oauth_apps(merged: Mapping[str, str]) -> dict[str, tuple[SecretStr, SecretStr]]:
    providers = {match[1] for name in merged if (match := _APP_NAME.match(name))}
    pairs = {p.lower(): (merged.get(f"{p}_CLIENT_ID"), merged.get(f"{p}_CLIENT_SECRET")) for p in providers}
    return {p: (SecretStr(i), SecretStr(s)) for p, (i, s) in pairs.items() if i and s}
