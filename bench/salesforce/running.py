"""Pipelines taking turns, each run held to what it left behind."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from rich.console import Console

from bench.lab.stage import Stage
from bench.lab.stopwatch import ProgramFailedError
from bench.salesforce.figures import Run, Summary
from bench.salesforce.measure import run
from bench.salesforce.pipelines import Kind, Lab, Pipeline, UnavailableError
from bench.salesforce.source import Source
from bench.salesforce.warehouse import End, Warehouse, WrongEndError

_MEMORY = Path("/dev/shm")  # noqa: S108 - where a run's own folder is, too
_say = Console(stderr=True, highlight=False).print


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One run, and what it left in the warehouse, if that is where it loads."""

    run: Run
    end: End | None


@contextmanager
def lab(at: Stage, source: Source, keep: Path) -> Iterator[Lab]:
    """Everything to run pipelines with; the warehouse knows what it must hold in the end."""
    memory = _MEMORY if _MEMORY.is_dir() else None
    with closing(Warehouse(at)) as warehouse, tempfile.TemporaryDirectory(prefix="bench-", dir=memory) as folder:
        warehouse.expect(source)
        yield Lab(at=at, source=source, warehouse=warehouse, folder=Path(folder), keep=keep)


def once(lab: Lab, pipeline: Pipeline) -> Outcome:
    """One run into a schema of its own, which is gone afterwards. WrongEndError unless all records arrived.

    What belongs to us must hold the very values of the source, and a key; of a peer differing columns are told.
    """
    attempt = pipeline.begin(lab, f"bench_{uuid4().hex[:8]}")
    lab.warehouse.level()
    cost = run(attempt.chain, servers={"postgres": lab.warehouse.pid, "org": lab.source.org.pid or 0})
    end = None
    if attempt.table is not None:
        end = lab.warehouse.end(lab.source, attempt.schema, attempt.table)
        lab.warehouse.drop(attempt.schema)
    rows = end.rows if end is not None else attempt.counted() if attempt.counted is not None else 0
    if rows != lab.source.rows or (end is not None and end.differing and pipeline.kind is not Kind.PEER):
        raise WrongEndError(f"{pipeline.title} left {end or rows} instead of {lab.source.rows:,} records.")
    made = Run(
        rows=rows,
        wall=cost.wall,
        cpu=cost.cpu,
        postgres_cpu=cost.server_cpu["postgres"],
        org_cpu=cost.server_cpu["org"],
        rss=cost.rss,
        rss_largest=cost.rss_largest,
    )
    _say(f"{pipeline.name}: {rows / cost.wall:,.0f} records/s, {cost.cpu_all:.2f} s of CPU", style="dim")
    return Outcome(run=made, end=end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A pipeline and the lab it runs in: peers may have a smaller org."""

    lab: Lab
    pipeline: Pipeline


def in_turns(entries: Sequence[Entry], runs: int, *, warm: bool = True) -> tuple[list[Summary], dict[str, str]]:
    """So many runs of each, alternating, each round beginning with another one, after one of ours to warm up.

    What cannot take part, or does not arrive whole, is left out; the second value tells why. Ours must.
    """
    found: dict[str, list[Outcome]] = {entry.pipeline.name: [] for entry in entries}
    failed: dict[str, str] = {}
    for number in range(-1 if warm else 0, runs):
        first = max(number, 0) % max(len(entries), 1)
        for entry in (*entries[first:], *entries[:first]):
            name, peer = entry.pipeline.name, entry.pipeline.kind is Kind.PEER
            if name in failed or (peer and number < 0):
                continue
            try:
                outcome = once(entry.lab, entry.pipeline)
            except (ProgramFailedError, UnavailableError, WrongEndError) as error:
                if not peer:
                    raise
                failed[name] = str(error)
                _say(f"{name} is left out: {error}", style="red", markup=False)
            else:
                found[name].extend([outcome] if number >= 0 else [])
    ready = [entry.pipeline for entry in entries if found[entry.pipeline.name] and entry.pipeline.name not in failed]
    return [_summary(pipeline, found[pipeline.name]) for pipeline in ready], failed


def _summary(pipeline: Pipeline, outcomes: Sequence[Outcome]) -> Summary:
    last = outcomes[-1].end
    return Summary(
        name=pipeline.name,
        title=pipeline.title,
        kind=pipeline.kind,
        runs=[outcome.run for outcome in outcomes],
        differing=last.differing if last else (),
        keyed=last.keyed if last else None,
    )
