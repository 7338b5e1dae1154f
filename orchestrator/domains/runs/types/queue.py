"""The line of detached runs, the workers that do them, and the installation they work in."""

from dataclasses import dataclass
from datetime import datetime, timedelta


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
class PlaceInLine:
    """Where a waiting run stands.

    position:      in its organization's line, 1 is next
    org_busy:      slots its organization holds; provider_busy: of them, at the same provider
    busy, slots:   of all living workers
    again_in:      until it may be tried again, where an attempt failed
    attempts:      so far
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
