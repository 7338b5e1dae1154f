"""What an operator can set, with defaults and bounds. `environment` says what that is called outside, and reads it."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from platformdirs import user_data_path
from pydantic import AfterValidator, BaseModel, BeforeValidator, ByteSize, ConfigDict, Field, SecretStr

from orchestrator.kernel import durations


def expanded(path: Path) -> Path:
    """From the root, and with the home that `~` stands for."""
    return path.expanduser().absolute()


def _paths(text: Any) -> Any:
    return tuple(filter(None, text.split(os.pathsep))) if isinstance(text, str) else text


LocalPath = Annotated[Path, AfterValidator(expanded)]
LocalPaths = Annotated[tuple[LocalPath, ...], BeforeValidator(_paths)]


def _length(longest: timedelta) -> BeforeValidator:
    return BeforeValidator(lambda text: durations.parse(text, longest=longest) if isinstance(text, str) else text)


Duration = Annotated[timedelta, _length(durations.LONGEST)]
Kept = Annotated[timedelta, _length(durations.A_CENTURY)]


def _or_off(read: Callable[[str], Any]) -> BeforeValidator:
    return BeforeValidator(lambda given: durations.or_off(read, given) if isinstance(given, str) else given)


DurationOrOff = Annotated[timedelta | None, _or_off(durations.parse)]


def _count(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("must be a whole number, or off") from None


CountOrOff = Annotated[Annotated[int, Field(ge=2, le=1000)] | None, _or_off(_count)]


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
    if not host or not _PORT.fullmatch(port) or int(port) > _LAST_PORT:
        raise ValueError("must be host:port such as 127.0.0.1:9464 or [::1]:9464")
    return Listen(host, int(port))


_LAST_PORT = 65_535
_PORT = re.compile(r"[0-9]{1,5}")
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
        ge=ByteSize(256 * 1024**2),
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
        default_factory=lambda: expanded(user_data_path("orchestrator")),
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
