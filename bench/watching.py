"""What watching costs: a scrape of a worker's metrics, and the look each second at whose data is late.

- **Scrape**: all of `/metrics` as a worker makes it when it is asked, not kept from the last second, beside so many
  runs that have ended, a hundredth of them waiting in line, and 10,000 integrations.
- **Tick**: `health.note_freshness` as each worker calls it once a second, with so many integrations of an hourly
  schedule each. Where nothing is due; and as it is where all of them sync every hour, so that each is looked at once in
  that time: so many as that is are made due before each tick. CPU is ours and that of Postgres. Needs Linux.
"""

import sys
import time
from collections.abc import Sequence

from sqlalchemy import text

from bench.lab import report, rows
from bench.lab.server import postgres_cpu
from bench.schedules import installation
from orchestrator.domains.health import service as health
from orchestrator.drivers.bundle import Drivers
from orchestrator.entry.observing.metrics import Metrics

_HISTORIES = (10_000, 100_000, 1_000_000)
_SIZES = (1_000, 10_000)
_INTEGRATIONS = 10_000
_ORGANIZATIONS = 100
_SCRAPE_LIMIT = 0.05  # seconds, at the median
_TICK_LIMIT = 1.0  # % of a core, at a tick a second
_TICKS = 200
_HOUR = 3_600  # seconds

# Totals are counted as runs end, by a trigger; here runs are made ended, so that totals are made as well: twenty
# connectors, each of whose kinds of runs ended in seven ways.
_RUNS = """
INSERT INTO orchestrator.runs
    (org_id, id, integration_id, trigger, timeout, status, requested_at, started_at, finished_at)
    SELECT i.org_id, gen_random_uuid(), i.id, 'schedule', '1 hour', 'succeeded', now(), now(), now()
    FROM generate_series(1, {history}) n
    JOIN (SELECT *, row_number() OVER () AS nth FROM orchestrator.integrations) i ON i.nth = n % :size + 1;
INSERT INTO orchestrator.run_totals
    SELECT 'connector-' || c, kind, CASE failure WHEN '' THEN 'succeeded' ELSE 'failed' END, failure,
        CASE failure WHEN '' THEN '' ELSE 'source' END, {history} / 1000, 60, 1000, 1000, 0, 100000
    FROM generate_series(1, 20) c, unnest(ARRAY['sync', 'backfill', 'dry_run']) kind,
        unnest(ARRAY['', 'auth_expired', 'rate_limited', 'source_error', 'timeout', 'internal', 'worker_lost']) failure;
INSERT INTO orchestrator.runs (org_id, id, integration_id, trigger, timeout, detached)
    SELECT org_id, gen_random_uuid(), id, 'bench', '1 hour', true FROM orchestrator.integrations LIMIT {history} / 100;
INSERT INTO orchestrator.run_queue (org_id, run_id, provider)
    SELECT org_id, id, 'salesforce' FROM orchestrator.runs WHERE detached;
ANALYZE orchestrator.runs;
ANALYZE orchestrator.run_queue;
ANALYZE orchestrator.integrations;
ANALYZE orchestrator.integration_health
"""

_SCHEDULES = """
INSERT INTO orchestrator.schedules (org_id, id, integration_id, cron, zone, misfire, next_slot, next_fire_at)
    SELECT org_id, gen_random_uuid(), id, '0 * * * *', 'Europe/Berlin', 'run_once', now() + interval '1 hour',
        now() + interval '1 hour' FROM orchestrator.integrations;
INSERT INTO orchestrator.runs
    (org_id, id, integration_id, trigger, timeout, status, requested_at, started_at, finished_at)
    SELECT org_id, gen_random_uuid(), id, 'schedule', '1 hour', 'succeeded', now(), now(), now()
    FROM orchestrator.integrations, generate_series(1, 10);
UPDATE orchestrator.integration_health SET next_look_at = now() + interval '1 hour';
ANALYZE orchestrator.schedules;
ANALYZE orchestrator.integrations;
ANALYZE orchestrator.runs;
ANALYZE orchestrator.integration_health
"""

_DUE = """
UPDATE orchestrator.integration_health SET next_look_at = now() WHERE integration_id IN (
    SELECT integration_id FROM orchestrator.integration_health ORDER BY random() LIMIT :many)
"""


def scrapes(drivers: Drivers, history: int, n: int) -> list[float]:
    """Seconds of each."""
    rows.fill(drivers, size=_INTEGRATIONS, orgs=_ORGANIZATIONS, then=_RUNS.format(history=history))
    made, taken = Metrics(drivers, concurrency=4, version="bench"), []
    for _ in range(n + 1):
        began = time.perf_counter()
        assert b"orchestrator_database_up 1.0" in made.text()
        taken.append(time.perf_counter() - began)
    return taken[1:]


def ticks(drivers: Drivers, size: int) -> tuple[float, float]:
    """CPU of a tick in % of a core, at a tick a second: where nothing is due, and where all sync every hour."""
    rows.fill(drivers, size=size, orgs=_ORGANIZATIONS, then=_SCHEDULES)
    return _cpu(drivers, 0), _cpu(drivers, -(-size // _HOUR))


def _cpu(drivers: Drivers, due: int) -> float:
    """What ticks cost, without what makes looks due."""
    return _taken(drivers, due, look=True) - _taken(drivers, due, look=False)


def _taken(drivers: Drivers, due: int, *, look: bool) -> float:
    began = time.process_time() + postgres_cpu(drivers)
    for _ in range(_TICKS):
        with drivers.db.connection() as connection:
            connection.execute(text(_DUE), {"many": due})
        if look:
            health.note_freshness(drivers)
    return (time.process_time() + postgres_cpu(drivers) - began) / _TICKS * 100


def main() -> int:
    """Measure, show, write."""
    parser = report.arguments(__doc__, n=30)
    parser.add_argument("--histories", type=int, nargs="+", default=_HISTORIES, help="runs that have ended")
    parser.add_argument("--sizes", type=int, nargs="+", default=_SIZES, help="integrations to look at")
    given = parser.parse_args()
    with installation() as (drivers, _):
        found = {history: scrapes(drivers, history, given.n) for history in given.histories}
        shares = {size: ticks(drivers, size) for size in given.sizes}
    shown = [(f"{history:,}", *_milliseconds(taken), len(taken)) for history, taken in found.items()]
    report.show("A scrape, beside so many runs", ("runs", "lowest, ms", "median, ms", "longest, ms", "n"), shown)
    columns = ("integrations", "nothing due, %", "all sync every hour, %")
    report.show(
        "A look a second at whose data is late, share of a core", columns,
        [(f"{size:,}", *(f"{share:.2f}" for share in both)) for size, both in shares.items()],
    )  # fmt: skip
    ended = report.Report(name="watching", n=given.n)
    ended.figures = {
        "scrapes": {str(history): report.spread(taken) for history, taken in found.items()},
        "ticks_percent": {str(size): both for size, both in shares.items()},
    }
    slowest = max(report.spread(taken).median for taken in found.values())
    ended.target("a scrape", slowest, limit=_SCRAPE_LIMIT, unit="s")
    ended.target("looking at who is late", max(max(both) for both in shares.values()), limit=_TICK_LIMIT, unit="%")
    return ended.end(given.json)


def _milliseconds(taken: Sequence[float]) -> list[str]:
    return [f"{one * 1000:.1f}" for one in (min(taken), report.spread(taken).median, max(taken))]


if __name__ == "__main__":
    sys.exit(main())
