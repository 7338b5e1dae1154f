"""Integrations as values: what is configured, what was found, what was checked, and what a run needs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from orchestrator.drivers.meltano.values import Plugin


class SetupState(StrEnum):
    """How far setting up has come; one axis of three, beside `enabled` and `health`."""

    DRAFT = "draft"
    PENDING_AUTH = "pending_auth"
    CONNECTED = "connected"
    NEEDS_REAUTH = "needs_reauth"
    DISCONNECTED = "disconnected"
    REVOKED = "revoked"


class Health(StrEnum):
    """How its syncs and checks have gone lately; `rules.health` says by which rule."""

    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    FAILING = "failing"


class Ended(StrEnum):
    """How a run ended, as far as health goes; one that somebody cancelled says nothing."""

    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What was wrong with a run or a check, in words for people.

    needs_a_person: whether it stays so until somebody mends it
    shared:         whether it lies in what integrations share, the destination or this installation, and not in its own
                    source, sign-in or settings
    """

    message: str
    hint: str = ""
    needs_a_person: bool = False
    shared: bool = False

    @property
    def counts(self) -> bool:
        """Whether it counts towards disabling the integration."""
        return self.needs_a_person and not self.shared


@dataclass(frozen=True, slots=True, kw_only=True)
class Lateness:
    """Whether an integration's data was late when last looked at; there: whether it isn't deleted."""

    integration_id: str
    late: bool
    there: bool
    enabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthFacts:
    """What is known of an integration's health.

    last:           how the newest run ended; None where none has since it was added or enabled
    failures:       runs in a row that failed
    unmended:       runs whose trouble counts towards disabling it, with no success between; other failures between them
                    neither count nor start the count over
    trouble:        of the newest run, where it didn't succeed
    check_trouble:  what the newest check found wrong; None where it passed, or a sync got through since
    warned_at:      when it was said that it will be disabled if that goes on
    disabled_at:    when we disabled it; None where it is enabled, or a person did
    check_every:    between checks; None: the installation's; zero: never
    disable_after:  how many `unmended`; None: the installation's; zero: never
    """

    last: Ended | None = None
    failures: int = 0
    unmended: int = 0
    trouble: Trouble | None = None
    check_trouble: Trouble | None = None
    last_success_at: datetime | None = None
    checked_at: datetime | None = None
    next_check_at: datetime | None = None
    warned_at: datetime | None = None
    disabled_at: datetime | None = None
    check_every: timedelta | None = None
    disable_after: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthFigures:
    """How many integrations of the whole installation are so. disabled_by: `person`, `failures`; empty: enabled."""

    health: Health
    setup_state: SetupState
    disabled_by: str
    integrations: int


class Consequence(StrEnum):
    """What a failure that only a person can mend leads to."""

    NONE = "none"
    WARN = "warn"
    DISABLE = "disable"


class DisplayStatus(StrEnum):
    """The one word people see, derived from the three axes."""

    NOT_CONNECTED = "not_connected"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    NEEDS_ATTENTION = "needs_attention"
    DISCONNECTED = "disconnected"


class Mode(StrEnum):
    """How a stream is read."""

    INCREMENTAL = "incremental"
    FULL_TABLE = "full_table"
    LOG_BASED = "log_based"


@dataclass(frozen=True, slots=True, kw_only=True)
class Integration:
    """One configured connector. `config` holds nothing secret."""

    org_id: str
    id: str
    workspace_id: str
    type: str
    variant: str
    name: str
    config: Mapping[str, Any]
    credential_id: str
    destination_id: str
    target_schema: str
    setup_state: SetupState
    enabled: bool
    health: Health
    tested_at: datetime | None
    discovered_at: datetime | None
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where records go."""

    org_id: str
    id: str
    type: str
    variant: str
    name: str
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A stream discovery found, and what was chosen of it. `entry` is its Singer catalog entry."""

    name: str
    selected: bool
    mode: Mode
    deselected_fields: tuple[str, ...]
    entry: Mapping[str, Any] = field(repr=False)
    discovered_at: datetime
    gone_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamChange:
    """What a discovery changed: names only.

    left_out:  streams that can't be kept, each with why, in words that are safe to show
    """

    added: tuple[str, ...]
    gone: tuple[str, ...]
    total: int
    left_out: tuple[str, ...] = ()


class Verdict(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """One named check of a connection test, in words for people.

    needs_sign_in: the provider let nobody in; somebody has to sign in again, or to correct the secrets
    """

    name: str
    title: str
    verdict: Verdict
    message: str = ""
    hint: str = ""
    seconds: float = 0.0
    needs_sign_in: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A stretch of time, by which records are chosen that changed in it: since ≤ change < until. Aware UTC."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything a sync needs, secrets opened; made just before the run and never stored.

    catalog:      the Singer catalog with only the selected streams and fields
    streams:      names of the streams that will be read, in catalog order
    encoding:     of the BATCH messages between the plugins; None: RECORD messages
    counted:      whether both plugins count their records, so that the counts can be compared
    fresh_token:  answers a plugin whose access token was refused; None where it signs in by itself
    """

    integration: Integration
    extractor: Plugin
    loader: Plugin
    catalog: Mapping[str, Any] = field(repr=False)
    streams: tuple[str, ...]
    encoding: str | None
    counted: bool
    fresh_token: Callable[[str], dict[str, str]] | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewIntegration:
    """What a person gave to add an integration; values still hold secrets, in the form's own shape."""

    type: str
    name: str
    values: Mapping[str, Any] = field(repr=False)
    variant: str | None = None
    destination: str = "warehouse"
    target_schema: str | None = None
