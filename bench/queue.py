"""How fast queued runs begin, whoever else waits, and how fast they are found among a million.

- **Start**: a run is queued as `sync --detach` and schedules do it, while a real worker idles. Measured on the run's
  own row, by the database's clock: from its insertion to its claim (`running`, with the event); and until the first
  process of the run is there, which is Meltano's supervisor: this has sign-in, plan and rendering in it, not Meltano.
- **Fairness**: one organization has tens of thousands of runs in line and a real worker works through them, each
  failing when it is planned, since these integrations were never discovered. Then another organization asks for one.
- **Growth**: what one call costs that hands runs to four free slots, with so many in line, of one organization and of
  as many organizations.
- **Listing**: a page of 20 among a million runs of one organization, through the same use case as the command line and
  as the role under row-level security: the first page, pages deep down, by integration, by status, by both.

Needs Linux: processes are seen in /proc.
"""

import math
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from sqlalchemy import text

from bench.lab import report, rows
from bench.lab.stage import PROGRAM, Stage, stage
from orchestrator.domains.identity import service as identity
from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.types import NewIntegration
from orchestrator.domains.runs import service as runs
from orchestrator.domains.runs.errors import RunEndedError
from orchestrator.domains.runs.types import Run, RunRequest, RunStatus
from orchestrator.drivers.bundle import Drivers
from orchestrator.kernel import ids
from sandboxes.salesforce import RemoteOrg

T = TypeVar("T")
_START_LIMIT = 0.3  # seconds, at p95
_FAIR_LIMIT = 5.0  # seconds, the longest
_LIST_LIMIT = 0.05  # seconds, at p95
_GROWTH_LIMIT = 2.0  # times, the longest line to the shortest, of one organization or of as many
_LINE = 50_000  # runs that the greedy organization has in line
_ALONE = 10  # runs that the modest one asks for, one after the other
_HISTORY = 1_000_000
_INTEGRATIONS = 1_000
_CALLS = 50
_SLOTS = 4
_SIZES = (1_000, 10_000, 100_000)
_LOOK_EVERY = 0.002  # seconds
_PATIENCE = 60.0  # seconds

_QUEUE_ALL = """
WITH made AS (
    INSERT INTO orchestrator.runs (org_id, id, integration_id, trigger, timeout, detached)
    SELECT org_id, gen_random_uuid(), id, 'bench', '1 hour', true FROM orchestrator.integrations
    RETURNING org_id, id)
INSERT INTO orchestrator.run_queue (org_id, run_id, provider) SELECT org_id, id, 'salesforce' FROM made
"""

# Ids sort by time as real ones do. Most succeeded; ten timed out, long ago.
_RUN_MANY = """
INSERT INTO orchestrator.runs
    (org_id, id, integration_id, trigger, timeout, status, requested_at, started_at, finished_at)
    SELECT i.org_id, CAST(lpad(to_hex(n), 12, '0') || '7' || substr(md5(n::text), 1, 19) AS uuid), i.id, 'schedule',
        '1 hour', CASE WHEN n <= 10 THEN 'timed_out' WHEN n % 1000 = 0 THEN 'partial' WHEN n % 50 = 0 THEN 'failed'
            ELSE 'succeeded' END, now(), now(), now()
    FROM generate_series(1, {history}) n
    JOIN (SELECT *, row_number() OVER () AS nth FROM orchestrator.integrations) i ON i.nth = n % :size + 1;
ANALYZE orchestrator.runs
"""

_GITHUB = {
    "auth": {"auth_type": "token", "token": "made-up"},
    "what": {"by": "repositories", "repositories": ["octo/hello"]},
    "start_date": "2024-01-01",
}

_WAIT_IN_LINE = """
INSERT INTO orchestrator.run_queue (org_id, run_id, provider)
SELECT CASE WHEN :orgs = 1 THEN CAST('00000000-0000-7000-8000-000000000001' AS uuid) ELSE gen_random_uuid() END,
    gen_random_uuid(), 'salesforce' FROM generate_series(1, :size)
"""


@contextmanager
def worker(env: Mapping[str, str], drivers: Drivers) -> Iterator[int]:
    """A worker's process, ready; its pid."""
    command = (str(PROGRAM), "worker", "--concurrency", str(_SLOTS))
    with subprocess.Popen(command, env=dict(env), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _until(lambda: [one for one in runs.workers(drivers) if one.pid == process.pid and one.alive])
            time.sleep(1.0)  # it listens by now
            yield process.pid
        finally:
            process.terminate()


def starts(ready: Stage, org: RemoteOrg, n: int) -> tuple[list[float], list[float]]:
    """Seconds from a run's insertion to its claim, and to its first process."""
    drivers = ready.drivers
    integration = ready.salesforce(org, name="queued", streams=["User"])
    claimed, begun = [], []
    with worker(ready.env, drivers) as pid:
        for number in range(n + 1):
            run = runs.submit(drivers, integration)
            first = _until(lambda: time.time() if _children(pid) else None)
            ended = _ended(drivers, run)
            assert ended.started_at is not None
            assert ended.status is RunStatus.SUCCEEDED, ended.failure
            if number:  # the first one finds nothing imported and no connection open
                claimed.append((ended.started_at - ended.requested_at).total_seconds())
                begun.append(first - ended.requested_at.timestamp())
    return claimed, begun


def fairness(ready: Stage, line: int, alone: int) -> tuple[list[float], float]:
    """Seconds that the modest organization's runs waited; and how many runs a second the greedy one's line gave."""
    drivers = ready.drivers
    rows.fill(drivers, size=line, orgs=1, then=_QUEUE_ALL)
    modest = identity.ensure(drivers.db, "modest")
    with drivers.db.transaction(modest.org_id) as tx:
        integrations.ensure_warehouse(tx, modest.org_id)
    made = integrations.add(drivers, modest, NewIntegration(type="github", name="modest", values=_GITHUB))
    wanted = RunRequest(org_id=made.org_id, integration_id=made.id, provider=made.type, trigger="bench")
    waited = []
    with worker(ready.env, drivers):
        before, began = _waiting(drivers), time.perf_counter()
        for _ in range(alone):
            with drivers.db.transaction(modest.org_id) as tx:
                run = runs.enqueue(drivers, tx, [wanted])[wanted.integration_id]
            assert run is not None
            runs.dispatch(drivers)
            begun = _until(partial(_begun, drivers, run), every=0.02)
            waited.append((begun - run.requested_at).total_seconds())
            with suppress(RunEndedError):  # it may wait to be tried again, for want of a plugin
                runs.cancel(drivers, run)
            _ended(drivers, run)
            time.sleep(random.random() / 2)  # noqa: S311 - not in step with the worker's ticks
        rate = (before - _waiting(drivers)) / (time.perf_counter() - began)
    return waited, rate


def growth(drivers: Drivers, size: int, orgs: int) -> list[float]:
    """Seconds of each call that hands runs to every free slot of a made-up worker; then they are over."""
    taken = []
    with drivers.db.connection() as connection:
        connection.execute(text("TRUNCATE orchestrator.run_queue"))
        connection.execute(text("SET LOCAL session_replication_role = replica"))  # no runs behind them
        connection.execute(text(_WAIT_IN_LINE), {"size": size, "orgs": orgs})
    with drivers.db.connection() as connection:
        connection.execute(
            text("INSERT INTO orchestrator.workers (name, host, pid, version, concurrency, heartbeat_at)"
                 " VALUES ('made up', '', 0, '', :slots, now() + interval '1 day')"), {"slots": _SLOTS},
        )  # fmt: skip
    for _ in range(_CALLS + 1):
        began = time.perf_counter()
        assert runs.dispatch(drivers) == _SLOTS
        taken.append(time.perf_counter() - began)
        with drivers.db.connection() as connection:
            connection.execute(text("DELETE FROM orchestrator.run_queue WHERE dispatched_at IS NOT NULL"))
            connection.execute(text("SET LOCAL search_path = orchestrator_queue"))  # its triggers ask for it
            connection.execute(text("DELETE FROM procrastinate_jobs"))
    with drivers.db.connection() as connection:
        connection.execute(text("DELETE FROM orchestrator.workers"))
        connection.execute(text("TRUNCATE orchestrator.run_queue"))
    return taken[1:]


def listings(drivers: Drivers, history: int, n: int) -> dict[str, list[float]]:
    """Seconds of a page, by what was asked for."""
    rows.fill(drivers, size=_INTEGRATIONS, orgs=1, then=_RUN_MANY.format(history=history))
    with drivers.db.connection() as connection:
        [org] = connection.scalars(text("SELECT id FROM orchestrator.organizations")).all()
        known = [ids.encode("int", one) for one in connection.scalars(text("SELECT id FROM orchestrator.integrations"))]
    org_id = ids.encode("org", org)

    def somewhere() -> str:
        at = f"{random.randrange(history):012x}7{random.getrandbits(76):019x}"  # noqa: S311
        return ids.encode("run", UUID(at))

    def one_of() -> str:
        return random.choice(known)  # noqa: S311

    def page(**asked: object) -> Callable[[], list[Run]]:
        def call() -> list[Run]:
            given = {name: value() if callable(value) else value for name, value in asked.items()}
            return runs.listing(drivers, org_id, **given)  # type: ignore[arg-type]  # one table for all

        return call

    failed, rare = (RunStatus.FAILED,), (RunStatus.TIMED_OUT,)
    ended = (RunStatus.FAILED, RunStatus.PARTIAL, RunStatus.TIMED_OUT, RunStatus.CANCELLED)
    asked = {
        "first page": page(),
        "a page deep down": page(before=somewhere),
        "of an integration": page(integration_id=one_of),
        "of an integration, deep down": page(integration_id=one_of, before=somewhere),
        "failed": page(statuses=failed),
        "failed, deep down": page(statuses=failed, before=somewhere),
        "timed out: ten in all": page(statuses=rare),
        "cancelled: none": page(statuses=(RunStatus.CANCELLED,)),
        "four statuses, deep down": page(statuses=ended, before=somewhere),
        "of an integration, four statuses": page(integration_id=one_of, statuses=ended),
    }
    for call in asked.values():
        call()
    return {what: [_seconds(call) for _ in range(n)] for what, call in asked.items()}


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _waiting(drivers: Drivers) -> int:
    with drivers.db.connection() as connection:
        return int(connection.scalar(text("SELECT count(*) FROM orchestrator.run_queue")) or 0)


def _begun(drivers: Drivers, run: Run) -> datetime | None:
    return runs.find(drivers, run.org_id, run.id).started_at


def _ended(drivers: Drivers, run: Run) -> Run:
    def look() -> Run | None:
        found = runs.find(drivers, run.org_id, run.id)
        return found if found.status.ended else None

    return _until(look, every=0.02)


def _until(look: Callable[[], T | None], *, every: float = _LOOK_EVERY) -> T:
    until = time.monotonic() + _PATIENCE
    while not (found := look()):
        assert time.monotonic() < until
        time.sleep(every)
    return found


def _children(pid: int) -> list[str]:
    """The processes that any thread of this one has started and not ended."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError):
            found += (task / "children").read_text(encoding="ascii").split()
    return found


def p95(values: Sequence[float]) -> float:
    """The value that 95 % do not exceed."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def main() -> int:
    """Measure, show, write."""
    parser = report.arguments(__doc__, n=30)
    parser.add_argument("--line", type=int, default=_LINE, help="runs of the greedy one (default: %(default)s)")
    parser.add_argument("--history", type=int, default=_HISTORY, help="runs to list among (default: %(default)s)")
    parser.add_argument("--sizes", type=int, nargs="+", default=_SIZES, help="runs in line (default: 1,000 to 100,000)")
    given = parser.parse_args()
    ended = report.Report(name="queue", n=given.n)
    with stage() as ready:
        with RemoteOrg(counts={"User": 5}) as org:
            claimed, begun = starts(ready, org, given.n)
        waited, rate = fairness(ready, given.line, _ALONE)
        grown = {(size, orgs): growth(ready.drivers, size, orgs) for size in given.sizes for orgs in (1, size)}
        pages = listings(ready.drivers, given.history, max(given.n, 100))
    columns = ("", "median, ms", "p95, ms", "longest, ms", "n")
    _show("From a run's insertion, on an idle worker", columns, {"claimed": claimed, "first process": begun})
    _show(
        f"Another organization has {given.line:,} in line ({rate:.0f} of them a second)", columns, {"claimed": waited}
    )
    calls = {f"{size:,} in {orgs:,} organizations": found for (size, orgs), found in grown.items()}
    _show(f"A call that hands out {_SLOTS} runs, with so many in line", columns, calls)
    _show(f"A page of 20 of {given.history:,} runs", columns, pages)
    ended.figures = {
        "claimed": claimed, "first_process": begun, "waited": waited, "rate": rate,
        "calls": {what: report.spread(found) for what, found in calls.items()},
        "pages": {what: report.spread(found) for what, found in pages.items()},
    }  # fmt: skip
    ended.target("insertion to first process, p95", p95(begun), limit=_START_LIMIT, unit="s")
    ended.target(f"wait beside {given.line:,} of another organization", max(waited), limit=_FAIR_LIMIT, unit="s")
    medians = {case: report.spread(found).median for case, found in grown.items()}
    least, most = min(given.sizes), max(given.sizes)
    times = max(medians[most, 1] / medians[least, 1], medians[most, most] / medians[least, least])
    ended.target("handing out, longest line to shortest", times, limit=_GROWTH_LIMIT, unit="×")
    ended.target(
        "the slowest kind of page, p95", max(p95(found) for found in pages.values()), limit=_LIST_LIMIT, unit="s"
    )
    return ended.end(given.json)


def _show(title: str, columns: Sequence[str], found: Mapping[str, Sequence[float]]) -> None:
    lines = [
        (what, *(f"{value * 1000:.1f}" for value in (report.spread(took).median, p95(took), max(took))), len(took))
        for what, took in found.items()
    ]
    report.show(title, columns, lines)


if __name__ == "__main__":
    sys.exit(main())
