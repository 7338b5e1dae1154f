"""What an operator can set: read from the environment once, by entry, then frozen and passed down.

Names are ORCHESTRATOR_<SECTION>__<FIELD>; a few well-known names (DATABASE_URL, INTEGRATION_ENCRYPTION_KEY …)
keep their own. `.env.example` is generated from here.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, get_args

from platformdirs import user_data_path
from pydantic import AfterValidator, BaseModel, BeforeValidator, ByteSize, ConfigDict, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from orchestrator.kernel import durations
from orchestrator.kernel.errors import InvalidConfigError
from orchestrator.kernel.printable import is_plain

_PREFIX = "ORCHESTRATOR_"
_APP_NAME = re.compile(r"^([A-Z][A-Z0-9_]*)_CLIENT_(ID|SECRET)$")


def _expanded(path: Path) -> Path:
    return path.expanduser().absolute()


def _paths(text: Any) -> Any:
    return tuple(filter(None, text.split(os.pathsep))) if isinstance(text, str) else text


LocalPath = Annotated[Path, AfterValidator(_expanded)]
LocalPaths = Annotated[tuple[LocalPath, ...], BeforeValidator(_paths)]


def _length(longest: timedelta) -> BeforeValidator:
    return BeforeValidator(lambda text: durations.parse(text, longest=longest) if isinstance(text, str) else text)


Duration = Annotated[timedelta, _length(durations.LONGEST)]
Kept = Annotated[timedelta, _length(durations.A_CENTURY)]


def _or_off(read: Callable[[str], Any]) -> BeforeValidator:
    return BeforeValidator(lambda given: durations.or_off(read, given) if isinstance(given, str) else given)


DurationOrOff = Annotated[timedelta | None, _or_off(durations.parse)]
CountOrOff = Annotated[Annotated[int, Field(ge=2, le=1000)] | None, _or_off(int)]


@dataclass(frozen=True)
class Listen:
    """Where to listen. port: 0 for any that is free."""

    host: str
    port: int


def _listen(given: object) -> object:
    if not isinstance(given, str):
        return given
    host, _, port = given.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or int(port) > _LAST_PORT:
        raise ValueError(f"'{given}' is no host:port such as 127.0.0.1:9464 or [::1]:9464")
    return Listen(host, int(port))


_LAST_PORT = 65_535
ListenAddress = Annotated[Listen, BeforeValidator(_listen)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NetworkSettings(_Section):
    """Which addresses may be called on behalf of a tenant."""

    allow_private: bool = Field(
        default=False,
        description="let integrations use private and loopback addresses: a local Salesforce org, a database near you",
    )


class PostgresSettings(_Section):
    """The embedded Postgres, used where DATABASE_URL is not set."""

    user: str | None = Field(
        default=None,
        description="unprivileged system user that runs it when we are root; postgres or nobody where unset",
    )
    binaries: LocalPath | None = Field(
        default=None, description="folder with postgres, initdb and pg_ctl to use instead of the bundled ones"
    )


class RunSettings(_Section):
    """How runs behave."""

    timeout: Duration = Field(default=timedelta(hours=6), description="hard stop of one attempt")
    stall: Duration = Field(
        default=timedelta(minutes=30),
        description="an attempt is ended where for so long nothing was read, written or said that is new",
    )
    stop_grace: Duration = Field(
        default=timedelta(seconds=2), description="between asking processes to end and ending them"
    )
    heartbeat: Duration = Field(
        default=timedelta(seconds=5), description="how often a running attempt renews its lease"
    )
    lease: Duration = Field(
        default=timedelta(seconds=30),
        description="without a heartbeat for this long an attempt counts as lost",
    )
    keep: Kept = Field(
        default=timedelta(days=90),
        ge=timedelta(days=1),
        description="workers remove what older runs said and counted, slots of schedules, events; the newest stay",
    )
    directory: LocalPath | None = Field(
        default=None,
        description="in which the folder of run directories is made; memory-backed storage where there is any",
    )
    memory: ByteSize = Field(
        default=ByteSize(4 * 1024**3),
        ge=256 * 1024**2,
        description="all processes of a run together; one that takes more is ended",
    )
    processes: int = Field(
        default=1_000, ge=50, description="… with their threads; a run that starts more of them is ended"
    )
    files: int = Field(default=4_096, ge=64, description="that each process of a run may have open at once")
    readable: LocalPaths = Field(
        default=(),
        description="files and folders, joined by colons, that plugins may read besides the system's programs and"
        " libraries: a database client's, a Kerberos configuration",
    )
    test_timeout: Duration = Field(default=timedelta(minutes=2), description="hard stop of a connection test")
    discover_timeout: Duration = Field(default=timedelta(minutes=10), description="hard stop of a discovery")


class QueueSettings(_Section):
    """How many detached runs are under way at once, on all workers together."""

    total: int = Field(default=10_000, ge=1, description="detached runs under way at most, however many workers")
    per_organization: int = Field(default=10_000, ge=1, description="… of one organization")
    per_provider: int = Field(default=10_000, ge=1, description="… of one organization at one provider")
    attempts: int = Field(default=3, ge=1, le=20, description="attempts at one detached run")
    backoff: Duration = Field(
        default=timedelta(seconds=30), description="before the second attempt; doubles with each one after"
    )
    longest_backoff: Duration = Field(default=timedelta(hours=1), description="… up to this")
    drain: Duration = Field(
        default=timedelta(seconds=60),
        description="how long a stopping worker lets its runs go on until they have committed state",
    )


class HealthSettings(_Section):
    """How integrations are watched; each may have its own (`orchestrator integrations edit`)."""

    check_every: DurationOrOff = Field(
        default=timedelta(hours=1),
        description="how often workers check a connection that no sync has used meanwhile; off: never",
    )
    disable_after: CountOrOff = Field(
        default=10,
        description="syncs in a row whose failure only a person can mend, after which an integration is disabled; "
        "halfway there is a warning; off: never",
    )
    grace: Duration = Field(
        default=timedelta(hours=1),
        description="data counts as late when a scheduled sync is not done so long after it should have been",
    )


class MetricsSettings(_Section):
    """What a worker shows its operator's systems."""

    address: ListenAddress | None = Field(
        default=None,
        description="host:port at which a worker answers /metrics, /healthz and /readyz, such as 127.0.0.1:9464; "
        "off where unset; has no sign-in, so keep it in your own network",
    )


class Settings(_Section):
    """Everything an operator can set; frozen, passed, never imported as a global."""

    home: LocalPath = Field(
        default_factory=lambda: _expanded(user_data_path("orchestrator")),
        description="where the embedded database, the key file, plugin environments and run directories live",
    )
    organization: str = Field(default="default", description="the organization the command line works in")
    database_url: SecretStr | None = Field(
        default=None,
        validation_alias="DATABASE_URL",
        description="control-plane Postgres (14 or newer; Supabase works); the embedded one where unset",
    )
    warehouse_url: SecretStr | None = Field(
        default=None,
        validation_alias="WAREHOUSE_URL",
        description="Postgres that records are loaded into; database `warehouse` of the embedded one where unset",
    )
    encryption_key: SecretStr | None = Field(
        default=None,
        validation_alias="INTEGRATION_ENCRYPTION_KEY",
        description="master key, 32 bytes as base64 or hex; the file made by `orchestrator init` where unset",
    )
    network: NetworkSettings = NetworkSettings()
    postgres: PostgresSettings = PostgresSettings()
    runs: RunSettings = RunSettings()
    queue: QueueSettings = QueueSettings()
    health: HealthSettings = HealthSettings()
    metrics: MetricsSettings = MetricsSettings()
    otlp_endpoint: SecretStr | None = Field(  # there may be a password in it
        default=None,
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="OpenTelemetry collector that gets traces of runs, by HTTP; needs pip install orchestrator[otel]",
    )
    oauth_apps: Mapping[str, tuple[SecretStr, SecretStr]] = Field(
        default_factory=dict,
        exclude=True,
        description="<PROVIDER>_CLIENT_ID and <PROVIDER>_CLIENT_SECRET of the OAuth apps you registered",
    )

    @cached_property
    def key_file(self) -> Path:
        """Where `orchestrator init` puts the master key when the environment has none."""
        return self.home / "master.key"


def project_root() -> Path:
    """The folder with schemas/, plugins/ and taps/: the clone, or the copy inside an installed wheel."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "project"
    return inside if inside.is_dir() else package.parent


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the environment and the .env file beside the project (ORCHESTRATOR_ENV_FILE names another).

    Raises InvalidConfigError that lists every wrong or unknown variable.
    """
    variables = os.environ if environ is None else environ  # noqa: TID251 - the one place that reads it
    env_file = Path(variables.get(f"{_PREFIX}ENV_FILE") or project_root() / ".env")
    merged = {**_file_values(env_file), **variables}
    _refuse_unknown(merged)
    values = {name: value for name, value in _nested(merged).items() if value != ""}
    try:
        return Settings(oauth_apps=_oauth_apps(merged), **values)
    except ValidationError as error:
        problems = tuple(
            (_variable(problem["loc"]), problem["msg"].removeprefix("Value error, "))
            for problem in error.errors(include_input=False)
        )
        raise InvalidConfigError(
            "The environment has settings that don't fit: " + "; ".join(f"{name}: {text}" for name, text in problems),
            hint="Correct them; .env.example lists every setting.",
            problems=problems,
        ) from None


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
    env_file = _expanded(Path(named)) if named else usual if usual.is_file() else settings.home / "environment"
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
        raise InvalidConfigError(
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
