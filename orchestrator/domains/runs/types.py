"""Runs as values: status, failure, what was moved, what was said, and the history of state."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from orchestrator.domains.integrations.types import Window


class RunKind(StrEnum):
    """What a run does. An integration has at most one under way, whatever its kind.

    A backfill reads a window of the past once more, into the same tables; a dry run reads what a sync would, into a
    schema of its own. Neither moves the integration's state.
    """

    SYNC = "sync"
    BACKFILL = "backfill"
    DRY_RUN = "dry_run"


class RunStatus(StrEnum):
    """queued → running → an end; ends are never reopened."""

    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"

    @property
    def ended(self) -> bool:
        """Whether this is an end."""
        return self in _ENDS


_ENDS = {RunStatus.SUCCEEDED, RunStatus.PARTIAL, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.TIMED_OUT}


class FailureKind(StrEnum):
    """Why, in the words that decide who acts and whether trying again helps."""

    CONFIG_ERROR = "config_error"
    AUTH_EXPIRED = "auth_expired"
    PERMISSION_MISSING = "permission_missing"
    RATE_LIMITED = "rate_limited"
    SOURCE_ERROR = "source_error"
    DESTINATION_ERROR = "destination_error"
    SCHEMA_VIOLATION = "schema_violation"
    CONSENT_MISSING = "consent_missing"
    QUOTA_EXCEEDED = "quota_exceeded"
    TIMEOUT = "timeout"
    WORKER_LOST = "worker_lost"
    INTERNAL = "internal"


class Origin(StrEnum):
    """Whose side it is on."""

    SOURCE = "source"
    DESTINATION = "destination"
    PLATFORM = "platform"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a run didn't simply succeed, in words for people.

    retry_after: seconds the source asked to be left alone
    signature:   which known error line it was, where it was one
    """

    kind: FailureKind
    origin: Origin
    message: str
    hint: str = ""
    retryable: bool = False
    retry_after: float | None = None
    signature: str | None = None


class Fixer(StrEnum):
    """Who can do something about a failure; nobody where waiting is all there is to do."""

    SOURCE_ADMIN = "source_admin"
    WAREHOUSE_ADMIN = "warehouse_admin"
    OPERATOR = "operator"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a run is where it is, for people. `said` is the line it was known by; empty where nothing failed."""

    cause: str
    who: Fixer
    todo: str
    said: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamCount:
    """What one run moved of one stream; records.

    deleted:    records that arrived marked as deleted
    rejected:   records that were read and that the loader came to its end without; None where nobody knows yet, or
                the run was cut short
    bytes:      of what was written, as the tap handed it over (messages, or batch files as they are); None where the
                loader doesn't count them
    api_calls:  requests the source was asked; None where its plugin doesn't count them
    """

    stream: str
    read: int = 0
    written: int = 0
    deleted: int = 0
    rejected: int | None = None
    bytes: int | None = None
    seconds: float = 0.0
    api_calls: int | None = None

    @property
    def rate(self) -> float | None:
        """Records read per second; None where they were counted once, so that nobody knows how long they took."""
        return self.read / self.seconds if self.seconds else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One execution for an integration.

    window:          what a backfill reads; None for other kinds
    scratch_schema:  where a dry run loads, while that may be there
    keep_scratch:    whether it stays after the end
    """

    org_id: str
    id: str
    integration_id: str
    status: RunStatus
    trigger: str
    streams: tuple[str, ...] | None
    full_refresh: bool
    timeout: timedelta
    detached: bool
    epoch: int
    failure: Failure | None
    requested_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    retry_of: str | None = None
    kind: RunKind = RunKind.SYNC
    window: Window | None = None
    scratch_schema: str | None = None
    keep_scratch: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """A Postgres server, by the identifier it was made with (empty where it isn't told), and a database in it."""

    cluster: str
    database: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """The installation as its database tells it. paused: why its workers begin nothing."""

    id: str
    home: Home
    paused: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """A run somebody wants, to be done by a worker.

    provider: whose limits apply: the type of the integration's connector
    streams:  these instead of the selected ones
    window:   what a backfill reads
    timeout:  of one attempt; None is the operator's
    retry_of: the ended run it does again; a backfill goes on where that one was
    """

    org_id: str
    integration_id: str
    provider: str
    trigger: str
    kind: RunKind = RunKind.SYNC
    window: Window | None = None
    keep_scratch: bool = False
    streams: tuple[str, ...] | None = None
    full_refresh: bool = False
    timeout: timedelta | None = None
    retry_of: str | None = None


# Failures that another try can mend; all others need a person.
PASSING = frozenset(FailureKind) - {
    FailureKind.CONFIG_ERROR,
    FailureKind.AUTH_EXPIRED,
    FailureKind.PERMISSION_MISSING,
    FailureKind.CONSENT_MISSING,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When a detached run is tried again by itself.

    attempts: tries of a run at most; 1: it is never tried again
    backoff:  before the second try; doubles with each one after
    longest:  what it grows to at most
    kinds:    of failures that are worth another try, of PASSING
    """

    attempts: int
    backoff: timedelta
    longest: timedelta
    kinds: frozenset[FailureKind] = PASSING


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnRetryPolicy:
    """What an organization has set of it; None is the operator's."""

    attempts: int | None = None
    backoff: timedelta | None = None
    longest: timedelta | None = None
    kinds: frozenset[FailureKind] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at a run; its epoch guards lease, state and end. Logs and counts are kept whoever holds the run.

    number: which try it is, of those that count; 0 where nobody tries again by itself
    """

    org_id: str
    run_id: str
    integration_id: str
    epoch: int
    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAttempt:
    """An attempt nobody has ended yet; `lapsed` where its lease ran out."""

    org_id: str
    run_id: str
    epoch: int
    worker: str
    lapsed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceInLine:
    """Where a waiting run stands.

    position:      in its organization's line, 1 is next
    org_busy:      slots its organization holds; provider_busy: of them, at the same provider
    busy, slots:   of all living workers
    again_in:      until it may be tried again, where a try failed
    attempts:      tries so far
    """

    position: int
    org_busy: int
    provider_busy: int
    busy: int
    slots: int
    again_in: timedelta | None
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A process that executes detached runs.

    busy:  slots that are taken, of `concurrency`
    alive: whether its last heartbeat is recent
    """

    name: str
    host: str
    pid: int
    version: str
    concurrency: int
    busy: int
    started_at: datetime
    heartbeat_at: datetime
    draining: bool
    alive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """A line a run said, redacted. `id` is its place in the order, and the cursor to go on from."""

    id: int
    at: datetime
    level: str
    source: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StateEntry:
    """A stream's bookmark as it was at some time; None means from the start."""

    id: int
    stream: str
    bookmark: Mapping[str, Any] | None = field(repr=False)
    reason: str
    run_id: str | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StateMove:
    """What a rollback or reset does to one stream; reread: records that were read since, so about what comes again."""

    stream: str
    before: Mapping[str, Any] | None = field(repr=False)
    after: Mapping[str, Any] | None = field(repr=False)
    reread: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a running sync is, for whoever watches. `phase` is one of PHASES."""

    phase: str
    counts: tuple[StreamCount, ...] = ()


PHASES = ("preparing", "starting", "syncing")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFigures:
    """The line and the workers of the whole installation; numbers alone.

    waiting, delayed, dispatched:  detached runs that could begin, that are tried again later, that hold a slot
    oldest:                        seconds that the one has waited that could begin for longest
    working, draining, silent:     workers
    slots:                         of the working ones
    """

    waiting: int
    delayed: int
    dispatched: int
    oldest: float
    working: int
    draining: int
    silent: int
    slots: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTotal:
    """All runs of the installation that ended alike, whoever did them; numbers alone.

    failure_kind, failure_origin:  empty where nothing failed
    """

    connector: str
    kind: str
    status: str
    failure_kind: str
    failure_origin: str
    runs: int
    seconds: float
    read: int
    written: int
    deleted: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Success:
    """When a sync that succeeded began and ended; what it loaded is as of its beginning."""

    began: datetime
    ended: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What an earlier run moved of a stream; `whole` where it read it from the start, having nothing to go on from."""

    stream: str
    read: int
    seconds: float
    whole: bool
    api_calls: int | None = None


class Unknown(StrEnum):
    """Why an estimate can't be given: no run of the same nature has succeeded yet, or none of them counted it."""

    NO_RUN = "no_run_yet"
    NOT_COUNTED = "not_counted"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamForecast:
    """What a sync would do with one stream.

    whole:    it is read from the start
    position: where it stands, for people
    rows, seconds, api_calls: as earlier runs of the same nature had it; None where none did
    samples:  how many those were
    """

    stream: str
    mode: str
    whole: bool
    position: str
    rows: int | None
    seconds: float | None
    api_calls: int | None
    samples: int

    @property
    def api_calls_unknown(self) -> Unknown | None:
        """Why nobody knows how many requests it will take; None where that is known."""
        if self.api_calls is not None:
            return None
        return Unknown.NOT_COUNTED if self.samples else Unknown.NO_RUN


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a sync would do if it were started now; nothing was started to know it.

    encoding:       of the batches between the plugins; None: RECORD messages
    sign_in:        how the credential stands, in one word; `sign_in_problem` says why where it doesn't work
    needed_scopes:  what the connector asks for, in that way of signing in; None where that knows no scopes
    granted_scopes: what the provider said it grants; None where it says nothing
    under_way:      the run that is active already
    """

    streams: tuple[StreamForecast, ...]
    encoding: str | None
    sign_in: str
    sign_in_problem: str | None
    needed_scopes: tuple[str, ...] | None
    granted_scopes: tuple[str, ...] | None
    under_way: str | None

    @property
    def missing_scopes(self) -> tuple[str, ...]:
        """What is needed and not granted, as far as both are known."""
        if self.needed_scopes is None or self.granted_scopes is None:
            return ()
        return tuple(scope for scope in self.needed_scopes if scope not in self.granted_scopes)
