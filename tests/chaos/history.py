"""What was seen of an installation under faults, for the checker: plain values, whoever read them.

Times are aware, and of one clock: database and processes are on this machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tests.e2e.comparing import Contents


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSeen:
    """A run as it stands at the end. ended: whether its status is terminal."""

    id: str
    integration: str
    status: str
    ended: bool
    epoch: int
    trigger: str = "person"
    full_refresh: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptSeen:
    """One try at a run; `finished` is None where nobody has ended it."""

    run: str
    integration: str
    epoch: int
    worker: str
    started: datetime
    finished: datetime | None
    lease_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSeen:
    """A fact about a run, in the order of the list. kind: of the failure it tells of, if any."""

    name: str
    run: str
    at: datetime
    status: str | None = None
    kind: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSeen:
    """An entry of a stream's state, in the order of the list. position: ISO, UTC; None where it tells no time."""

    integration: str
    stream: str
    position: str | None
    reason: str
    run: str | None
    epoch: int | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotSeen:
    """A slot of a schedule and the run it started."""

    schedule: str
    slot: datetime
    outcome: str
    run: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSeen:
    """A process of a run, from the first look that found it to the last."""

    machine: str
    directory: str
    pid: int
    kind: str
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Hurt:
    """A fault, from the strike to the end of its effect. machine: None where it was the database, and so all."""

    machine: str | None
    fault: str
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Everything that is judged.

    workers:  a worker's name → the machine it works on, one run at a time
    tables:   `schema.table` → the source's ledger and the table, row by row
    left:     run directories and files with a secret in clear that are there at the end
    lease:    how long a lease lasts
    """

    runs: tuple[RunSeen, ...] = ()
    attempts: tuple[AttemptSeen, ...] = ()
    events: tuple[EventSeen, ...] = ()
    states: tuple[StateSeen, ...] = ()
    slots: tuple[SlotSeen, ...] = ()
    processes: tuple[ProcessSeen, ...] = ()
    hurts: tuple[Hurt, ...] = ()
    workers: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, Contents] = field(default_factory=dict)
    left: tuple[str, ...] = ()
    lease: timedelta = timedelta(seconds=30)
