"""What people wait for, beside a run of the same plugins that has nothing to do: the first rows, and the next sync.

The run with nothing to do is a bare `meltano run` of the project that a sync renders, from the state it left.
"""

import json
import time
from dataclasses import dataclass, field
from uuid import uuid4

import psycopg
from psycopg import sql

from bench import overhead
from bench.lab import report
from bench.lab.stage import PROGRAM, Stage
from bench.salesforce.measure import Program, run
from bench.salesforce.pipelines import Lab
from bench.salesforce.warehouse import WrongEndError
from orchestrator.domains.integrations.types import Integration
from orchestrator.domains.runs import rules
from orchestrator.domains.runs import service as runs

CHANGED = 500  # records between two syncs: a quarter of an hour


@dataclass(frozen=True, slots=True, kw_only=True)
class Waited:
    """Seconds, over several runs: of ours, and of the run with nothing to do beside each."""

    ours: report.Spread
    nothing: report.Spread
    more: report.Spread
    times: report.Spread


def first_rows(lab: Lab, *, count: int) -> Waited:
    """From the start of a first sync until its first rows are committed and seen."""
    ours, nothing = [], []
    for _ in range(count):
        integration = _connected(lab)
        watch = _Watch(dsn=lab.warehouse.dsn, schema=integration.target_schema, table=lab.source.name)
        run([_sync(lab.at, integration)], meanwhile=watch)
        ours.append(watch.seconds)
        nothing.append(_nothing(lab.at, integration))
        lab.warehouse.drop(integration.target_schema)
    return _waited(ours, nothing)


def incremental(lab: Lab, *, count: int) -> Waited:
    """A sync of 500 changed records; afterwards the table is what the source is."""
    integration = _connected(lab)
    run([_sync(lab.at, integration)])
    ours, nothing = [], []
    for _ in range(count):
        lab.source.org.churn(lab.source.name, update=CHANGED)
        cost = run([_sync(lab.at, integration)])
        [stream] = json.loads(cost.stdout)["streams"]
        if stream["written"] < CHANGED:
            raise WrongEndError(f"Of {CHANGED} changed records {stream['written']} were loaded.")
        ours.append(cost.wall)
        nothing.append(_nothing(lab.at, integration))
    lab.warehouse.expect(lab.source)
    end = lab.warehouse.end(lab.source, integration.target_schema, lab.source.name)
    if end.rows != lab.source.rows or end.differing:
        raise WrongEndError(f"After {count} syncs of changes the table is {end}.")
    lab.warehouse.drop(integration.target_schema)
    return _waited(ours, nothing)


def _waited(ours: list[float], nothing: list[float]) -> Waited:
    pairs = list(zip(ours, nothing, strict=True))
    return Waited(
        ours=report.spread(ours),
        nothing=report.spread(nothing),
        more=report.spread([one - other for one, other in pairs]),
        times=report.spread([one / other for one, other in pairs]),
    )


def _connected(lab: Lab) -> Integration:
    return lab.at.salesforce(lab.source.org, name=f"bench_{uuid4().hex[:8]}", streams=(lab.source.name,))


def _sync(at: Stage, integration: Integration) -> Program:
    return Program(name="orchestrator", argv=(PROGRAM, "sync", integration.id, "--json"), env=at.env)


def _nothing(at: Stage, integration: Integration) -> float:
    state = rules.state_of({entry.stream: entry.bookmark for entry in runs.show(at.drivers, integration)})
    return overhead.bare(at, integration, state, overhead.OWN_SCRIPT).took.wall


@dataclass(kw_only=True)
class _Watch:
    """Looks for rows, fifty times a second, until there are some. seconds: since it was called."""

    dsn: str
    schema: str
    table: str
    seconds: float = field(default=0.0)

    def __call__(self) -> None:
        began = time.perf_counter()
        seen = sql.SQL("SELECT 1 FROM {} LIMIT 1").format(sql.Identifier(self.schema, self.table))
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            while not self.seconds and time.perf_counter() - began < 600:
                try:
                    if connection.execute(seen).fetchone():
                        self.seconds = time.perf_counter() - began
                except psycopg.errors.UndefinedTable:
                    pass
                time.sleep(0.02)
