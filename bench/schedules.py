"""How fast schedulers start what is due: many schedules in the same second, several schedulers at once.

Each scheduler is a process that ticks as a worker does until nothing is due. Measured is the time from the word go to
the end of the last of them, with their CPU and that of Postgres; afterwards the tables are asked whether every
schedule queued exactly one run. Then what a tick costs when nothing is due. Needs Linux: Postgres is found in /proc.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import text

from bench.lab import report, rows
from bench.lab.server import postgres_cpu
from bench.lab.stage import environment
from orchestrator.domains.schedules import service
from orchestrator.drivers.bundle import Drivers
from orchestrator.entry import installing
from orchestrator.kernel.environment import load

_SIZES = (1_000, 10_000, 100_000)
_PROMISED = 10_000
_LIMIT = 5.0  # seconds
_IDLE_TICKS = 200
_IDLE_LIMIT = 1.0  # % of a core, at a tick a second

_SCHEDULES = """
INSERT INTO orchestrator.schedules (org_id, id, integration_id, cron, zone, misfire, next_slot, next_fire_at)
    SELECT org_id, gen_random_uuid(), id, '*/15 2-5 * * mon-fri', 'Europe/Berlin', 'run_once',
           now() + interval '1 hour', now() + interval '1 hour'
    FROM orchestrator.integrations;
ANALYZE orchestrator.schedules, orchestrator.integrations
"""

_NOW = """
UPDATE orchestrator.schedules SET next_slot = date_trunc('second', now()), next_fire_at = date_trunc('second', now())
"""

_TWICE_OR_NEVER = """
SELECT (SELECT count(*) FROM orchestrator.integrations i WHERE 1 <> (
            SELECT count(*) FROM orchestrator.runs r WHERE r.org_id = i.org_id AND r.integration_id = i.id))
     + (SELECT count(*) FROM orchestrator.schedules s WHERE 1 <> (
            SELECT count(*) FROM orchestrator.schedule_slots x
            WHERE x.org_id = s.org_id AND x.schedule_id = s.id AND x.outcome = 'fired'))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """One size, fired once. Seconds; wrong: schedules that queued no run or more than one."""

    size: int
    orgs: int
    wall: float
    cpu: float
    postgres_cpu: float
    wrong: int


@contextmanager
def installation() -> Iterator[tuple[Drivers, Mapping[str, str]]]:
    """A control plane in a temporary home."""
    with tempfile.TemporaryDirectory(prefix="orchestrator-bench-") as folder:
        env = environment(Path(folder))
        drivers = Drivers(settings=load(env))
        try:
            installing.install(drivers)
            yield drivers, env
        finally:
            drivers.close()
            drivers.postgres.stop_if_unused()


def burst(drivers: Drivers, env: Mapping[str, str], *, size: int, orgs: int, schedulers: int) -> Burst:
    """Let so many schedulers fire so many schedules."""
    rows.fill(drivers, size=size, orgs=orgs, then=_SCHEDULES)
    with _schedulers(env, schedulers) as processes:
        with drivers.db.connection() as connection:
            connection.execute(text(_NOW))
        before = postgres_cpu(drivers)
        started = time.perf_counter()
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(b"go\n")
            process.stdin.flush()
        found = [json.loads(process.stdout.readline()) for process in processes if process.stdout]
        wall = time.perf_counter() - started
        server_cpu = postgres_cpu(drivers) - before
    with drivers.db.connection() as connection:
        wrong = connection.execute(text(_TWICE_OR_NEVER)).scalar_one()
    assert sum(one["fired"] for one in found) == size
    cpu = sum(one["cpu"] for one in found)
    return Burst(size=size, orgs=orgs, wall=wall, cpu=cpu, postgres_cpu=server_cpu, wrong=wrong)


@contextmanager
def _schedulers(env: Mapping[str, str], number: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that have ticked before and wait for the word."""
    command = (sys.executable, "-m", "bench.schedules", "--as-scheduler")
    with ExitStack() as stack:
        started = [
            stack.enter_context(subprocess.Popen(command, env=dict(env), stdin=subprocess.PIPE, stdout=subprocess.PIPE))
            for _ in range(number)
        ]
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
        yield started


def as_scheduler() -> None:
    """Tick while nothing is due, say so, wait for the word, then tick until nothing is due any more."""
    drivers = Drivers(settings=load(os.environ))
    for _ in range(3):
        assert not service.fire_due(drivers).fired
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    cpu, fired = time.process_time(), 0
    while (done := service.fire_due(drivers)).fired:
        fired += done.fired
    sys.stdout.write(json.dumps({"fired": fired, "cpu": time.process_time() - cpu}) + "\n")
    sys.stdout.flush()
    drivers.close()


def idle(drivers: Drivers, ticks: int) -> float:
    """CPU of a tick that finds nothing due, ours and Postgres', in % of a core at a tick a second."""
    service.fire_due(drivers)
    cpu, postgres = time.process_time(), postgres_cpu(drivers)
    for _ in range(ticks):
        service.fire_due(drivers)
    return (time.process_time() - cpu + postgres_cpu(drivers) - postgres) / ticks * 100


def main() -> int:
    """Measure, show, write."""
    parser = report.arguments(__doc__, n=1)
    parser.add_argument("--sizes", type=int, nargs="+", default=_SIZES, help="schedules due at once")
    parser.add_argument(
        "--organizations",
        type=int,
        nargs="*",
        default=(100, _PROMISED),
        help=f"that {_PROMISED:,} are spread over, too",
    )
    parser.add_argument("--schedulers", type=int, default=4, help="processes that fire (default: %(default)s)")
    parser.add_argument("--as-scheduler", action="store_true", help="be one of them")
    given = parser.parse_args()
    if given.as_scheduler:
        as_scheduler()
        return 0
    shapes = [(size, 1) for size in given.sizes]
    shapes += [(size, orgs) for size in given.sizes if size == _PROMISED for orgs in given.organizations]
    with installation() as (drivers, env):
        found = [
            burst(drivers, env, size=size, orgs=orgs, schedulers=given.schedulers)
            for size, orgs in shapes
            for _ in range(given.n)
        ]
        share = idle(drivers, _IDLE_TICKS)
    shown = [
        (f"{one.size:,} in {one.orgs:,}", *(f"{value:.2f}" for value in (one.wall, one.cpu, one.postgres_cpu)),
         f"{one.size / one.wall:,.0f}", one.wrong)
        for one in found
    ]  # fmt: skip
    columns = ("schedules in organizations", "wall, s", "CPU, s", "Postgres, s", "a second", "twice or never")
    report.show(f"Due in the same second, {given.schedulers} schedulers", columns, shown)
    ended = report.Report(name="schedules", n=given.n)
    ended.figures = {"bursts": [asdict(one) for one in found], "idle_percent": share}
    for one in found:
        if one.size == _PROMISED:
            what = f"{one.size:,} due at once in {one.orgs:,} organizations"
            ended.target(what, one.wall, limit=_LIMIT, unit="s")
    ended.target("queued twice or never", sum(one.wrong for one in found), limit=0, unit="")
    ended.target("idle scheduler, share of a core", share, limit=_IDLE_LIMIT, unit="%")
    return ended.end(given.json)


if __name__ == "__main__":
    sys.exit(main())
