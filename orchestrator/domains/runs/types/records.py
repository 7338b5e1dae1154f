"""What runs moved and said, and how far they are."""

from dataclasses import dataclass
from datetime import datetime


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
class LogEntry:
    """A line a run said, redacted. `id` is its place in the order, and the cursor to go on from."""

    id: int
    at: datetime
    level: str
    source: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a running sync is, for whoever watches. `phase` is one of PHASES."""

    phase: str
    counts: tuple[StreamCount, ...] = ()


PHASES = ("preparing", "starting", "syncing")


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
