"""An installation on several machines, a source, and the rounds of faults they go through."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from secrets import token_hex
from time import monotonic, sleep
from typing import TypeVar

from orchestrator.domains.integrations.types import Integration
from orchestrator.domains.runs import service as runs
from orchestrator.domains.runs.errors import RunInProgressError
from orchestrator.domains.runs.types import Run, RunStatus
from orchestrator.kernel.db import DatabaseAwayError
from orchestrator.kernel.errors import OrchestratorError
from sandboxes.salesforce import LocalOrg
from tests.chaos.checker import Violation, check
from tests.chaos.faults import Fault
from tests.chaos.history import History, Hurt
from tests.chaos.machines import LEASE, Machine
from tests.chaos.reading import Watcher, all_of, recorded
from tests.e2e.comparing import contents
from tests.e2e.conftest import values_of
from tests.e2e.installation import PATIENCE, Installation, eventually

POINTS = int(os.environ.get("CHAOS_POINTS", "6"))
STREAMS = ("Account", "Contact")
ROWS = {"Account": 300, "Contact": 9_000, "Lead": 1, "Opportunity": 1, "User": 1}
STEP = 2_250  # records of a window, and so of a file; fewer than 2,000 would go by REST
SECONDS = 3.0  # that the source takes to hand out the large stream, so that faults meet it at work
_SETTLED = 240.0  # seconds by which everything is over once nothing is wrong any more

T = TypeVar("T")


@dataclass(kw_only=True)
class Place:
    """Everything there is.

    office:  the home of the operator, with the embedded Postgres that all machines share
    disk:    where that Postgres has its files
    away:    how long Postgres is unreachable at most, seconds
    disks:   whether the disks may be filled
    struck:  how many faults of each kind there were
    seen:    runs, and how many attempts each took
    """

    office: Installation
    disk: Path
    org: LocalOrg
    watcher: Watcher
    away: float
    disks: bool
    machines: list[Machine] = field(default_factory=list)
    hurts: list[Hurt] = field(default_factory=list)
    struck: Counter[str] = field(default_factory=Counter)
    seen: dict[str, int] = field(default_factory=dict)
    like: Integration | None = None

    # What there is to work on

    def integration(self) -> Integration:
        """A new one, which has read nothing yet."""
        steps = {"bulk_page_rows": STEP, "window_rows": STEP}
        made = self.office.add(f"chaos {token_hex(4)}", values_of(self.org, **steps), STREAMS, like=self.like)
        self.like = self.like or made
        return made

    def change(self) -> None:
        """Let the source change, so long ago that no look-back covers up what is lost."""
        self.org.churn("Contact", update=60, delete=10, insert=20)
        self.org.churn("Account", update=20, delete=2, insert=5)
        self.org.clock.advance(900)

    def slow(self, *, seconds: float = SECONDS) -> None:
        """Let the source take so long for the large stream."""
        self.org.rows_per_second = ROWS["Contact"] / seconds

    # Runs

    def submit(self, integration: Integration) -> Run:
        """Queue a run, whatever happens to the database meanwhile."""

        def ask() -> Run | None:
            with self.office.drivers() as drivers:
                try:
                    return runs.submit(drivers, integration)
                except RunInProgressError:
                    return runs.listing(drivers, integration.org_id, integration_id=integration.id, limit=1)[0]

        return self.patiently(ask, f"a run of {integration.name}")

    def latest(self, integration: Integration) -> Run:
        """Its newest run."""
        return self.patiently(lambda: self.office.latest(integration), f"the newest run of {integration.name}")

    def ended(self, integration: Integration, *, within: float = _SETTLED) -> Run:
        """Its newest run, once it is over."""

        def look() -> Run | None:
            run = self.office.latest(integration)
            return run if run.status.ended else None

        return self.patiently(look, f"the end of the run of {integration.name}", within=within, every=0.2)

    @staticmethod
    def patiently(look: Callable[[], T | None], what: str, *, within: float = PATIENCE, every: float = 0.05) -> T:
        """What `look` answers as soon as it answers something; a database that is away is asked again."""

        def again() -> T | None:
            try:
                found = look()
            except DatabaseAwayError:
                found = None
            if not found:
                sleep(every)
            return found

        return eventually(again, what, within=within)

    @staticmethod
    def soon(look: Callable[[], T | None]) -> T:
        """The same for a moment that a run under way comes to."""
        return eventually(look, "a run under way")

    def written(self, run: Run) -> int:
        """How many records a run has written so far."""
        with self.office.drivers() as drivers:
            return sum(one.written for one in runs.counts(drivers, run))

    def rows_of(self, run: Run) -> dict[str, list[str]]:
        """Everything the control plane has of a run, table by table."""
        with self.office.drivers() as drivers:
            superuser = drivers.postgres.start().url("orchestrator")
        return all_of(superuser, run.id)

    # Postgres

    def stop_postgres(self) -> None:
        """pg_ctl stop -m immediate: every process of it ends at once, as in a crash."""
        for pid_file in self.office.home.rglob("postmaster.pid"):
            with suppress(ProcessLookupError, IndexError, ValueError, OSError):
                os.kill(int(pid_file.read_text().split()[0]), signal.SIGQUIT)

    def start_postgres(self) -> None:
        """Have it up again, after whatever ended it."""

        def start() -> bool:
            with self.office.drivers() as drivers:
                try:
                    drivers.postgres.start()
                except OrchestratorError:
                    return False
                return True

        eventually(start, "Postgres")

    # Faults

    @contextmanager
    def befalls(self, machine: Machine | None, fault: str) -> Iterator[None]:
        """Remember a fault for as long as it lasts, and a lease more; None where it is everybody's."""
        since = datetime.now(UTC)
        try:
            yield
        finally:
            until = datetime.now(UTC) + timedelta(seconds=LEASE)
            self.hurts.append(Hurt(machine=machine and machine.name, fault=fault, since=since, until=until))

    def strike(self, fault: Fault, random: Random) -> None:
        """One point: the fault happens, and is over."""
        since = datetime.now(UTC)
        with fault.strike(self, random) as machine:
            pass
        until = datetime.now(UTC) + timedelta(seconds=LEASE)
        self.hurts.append(Hurt(machine=machine and machine.name, fault=fault.name, since=since, until=until))
        self.struck[fault.name] += 1

    def revive(self) -> None:
        """Start the workers that died, as an init system does."""
        for machine in self.machines:
            machine.work()
        for machine in self.machines:
            machine.awake()

    def round(self, faults: Sequence[Fault], random: Random, integrations: Sequence[Integration]) -> list[Violation]:
        """Faults at random moments of runs that are under way; then everything that is wrong afterwards."""
        began = datetime.now(UTC)
        self.slow()
        for integration in integrations:
            self.submit(integration)
        for fault in faults:
            sleep(random.uniform(0.1, SECONDS))
            for integration in integrations:
                if self.latest(integration).status.ended:
                    self.change()
                    self.submit(integration)
            self.strike(fault, random)
            self.revive()
        self.org.rows_per_second = 0.0
        return self.judge(integrations, began)

    def judge(self, integrations: Sequence[Integration], began: datetime) -> list[Violation]:
        """Let everything end, sync once more where nothing is wrong, and compare."""
        for integration in integrations:
            with suppress(AssertionError):  # the checker says so, with the run's name
                self.ended(integration)
        self.org.clock.advance(900)
        last = [(one, self.submit(one)) for one in integrations]
        unwell = [
            Violation("a_calm_sync_succeeds", f"{run.id} {run.status}: {run.failure and run.failure.message}")
            for run in (self.ended(one) for one, _ in last)
            if run.status is not RunStatus.SUCCEEDED
        ]
        history = self.history(integrations, began)
        self.seen |= {run.id: run.epoch for run in history.runs}
        return unwell + check(history)

    def history(self, integrations: Sequence[Integration], began: datetime, *, compare: bool = True) -> History:
        """What is known of these integrations, all of whose runs began at `began` or later on these machines."""
        left = self._left()
        with self.office.drivers() as drivers:
            server, warehouse = drivers.postgres.start(), drivers.warehouse_url
            superuser = server.url("orchestrator")
        tables = {
            f"{one.target_schema}.{stream}": contents(self.org, warehouse, one.target_schema, stream)
            for one in (integrations if compare else ())
            for stream in STREAMS
        }
        return History(
            **recorded(superuser, [one.id for one in integrations]),
            processes=self.watcher.since(began),
            hurts=tuple(self.hurts),
            workers={name: machine.name for machine in self.machines for name in machine.names},
            tables=tables,
            left=left,
            lease=timedelta(seconds=LEASE),
        )

    def _left(self) -> tuple[str, ...]:
        """Run directories, processes and secrets in clear that are still there, a moment after the last run's end."""
        until = monotonic() + 15
        while monotonic() < until and any(self._remains()):
            sleep(0.1)
        return tuple(self._remains())

    def _remains(self) -> Iterator[str]:
        secrets = [
            value.encode() for name, value in self.org.app.credentials().items() if "secret" in name or "token" in name
        ]
        for machine in self.machines:
            yield from (f"{machine.name}: {path}" for path in machine.runs.glob("*"))
            yield from (f"{machine.name}: {kind} ({pid})" for pid, (kind, _) in machine.processes().items())
            for path in machine.installation.home.rglob("*"):
                with suppress(FileNotFoundError):  # removed since it was listed
                    found = path.is_file() and not path.is_symlink() and path.read_bytes()
                    if found and any(secret in found for secret in secrets):
                        yield f"{machine.name}: a secret in {path}"
