"""How fast Salesforce's records reach Postgres: the bare limit, ours, and everybody else's, side by side.

All read the same local org, which is measured alone first, and load into the same Postgres, in turns. What a run left
behind is compared with the source, value by value, before its figures count. CPU is that of the programs with
everything they start (wait4); Postgres is told beside it. Peers may run with fewer records: rates are compared.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.lab import report
from bench.lab.stage import Stage, stage
from bench.salesforce import chart, ours, sizes, tables, waiting
from bench.salesforce.figures import Figures
from bench.salesforce.pipelines import Pipeline
from bench.salesforce.running import Entry, in_turns, lab
from bench.salesforce.sizes import Sized
from bench.salesforce.source import source

_OBJECT = "Contact"
_ALONE = 1_000_000  # records a second that the org must hand out by itself
_PEER_ROWS = 200_000
_FIRST_ROWS = 2.0  # seconds more than a run with nothing to do
_INCREMENTAL = 1.3  # times a run with nothing to do


class Benchmark:
    """One call of the command: what it found so far."""

    def __init__(self, at: Stage, given: argparse.Namespace) -> None:
        self._at, self._given = at, given
        self.missed: list[str] = []
        self.document: dict[str, Any] = {
            "benchmark": "salesforce",
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": report.machine(),
            "commit": report.commit(),
            "n": given.runs,
            "object": _OBJECT,
            "rows": given.rows,
        }

    def compare(self, peers: Sequence[Pipeline]) -> None:
        """Everybody side by side."""
        given, keep = self._given, self._at.drivers.settings.home
        with ExitStack() as stack:
            org = stack.enter_context(source(_OBJECT, given.rows, cache=given.orgs))
            mine = theirs = stack.enter_context(lab(self._at, org, keep))
            if given.peer_rows != given.rows:
                smaller = stack.enter_context(source(_OBJECT, given.peer_rows, cache=given.orgs))
                theirs = stack.enter_context(lab(self._at, smaller, keep))
            alone = org.alone()
            entries = [Entry(lab=mine, pipeline=way) for way in (*ours.LIMITS, *ours.BY_FILES)]
            entries += [Entry(lab=theirs, pipeline=way) for way in (ours.BY_RECORDS, *peers)]
            found, left_out = in_turns(entries, given.runs)
        figures = Figures(ways=found)
        title = f"{given.rows:,} records of {len(org.fields)} fields into Postgres; medians of {given.runs}"
        tables.compared(figures, title=f"{title}; the org alone: {alone:,.0f}/s")
        if given.chart is not None:
            chart.write(given.chart, self._picture(figures, with_peers=bool(peers)))
        self.document |= {
            "peer_rows": given.peer_rows,
            "fields": len(org.fields),
            "org_alone_records_per_s": round(alone),
            **figures.document(),
            "left_out": left_out,
        }
        self.missed += [promise.title for promise, _, kept in figures.judged() if kept is False]
        self._hold("the org alone, records/s", -alone, -_ALONE)

    def curve(self) -> None:
        """The same object in several sizes."""
        found = sizes.curve(self._at, sizes=self._given.curve, runs=self._given.runs, orgs=self._given.orgs)
        tables.sized(found, title="Cost over size", line=True)
        self.document["curve"] = _sized(found)

    def shapes(self) -> None:
        """Few fields, many fields, large texts."""
        found = sizes.shapes(self._at, runs=self._given.runs, orgs=self._given.orgs)
        tables.sized(found, title="Cost over shape", line=False)
        self.document["shapes"] = _sized(found)

    def wait(self) -> None:
        """First rows, and changes."""
        given, keep = self._given, self._at.drivers.settings.home
        found: dict[str, waiting.Waited] = {}
        if given.first_rows:
            with source(_OBJECT, given.rows, cache=given.orgs) as org, lab(self._at, org, keep) as place:
                one = found["the first rows of a first sync"] = waiting.first_rows(place, count=given.runs)
            self._hold("first rows, seconds more than a run with nothing to do", one.more.median, _FIRST_ROWS)
            self.document["first_rows"] = asdict(one)
        if given.incremental:
            with source(_OBJECT, given.rows, cache=given.orgs, held=False) as org, lab(self._at, org, keep) as place:
                one = found[f"a sync of {waiting.CHANGED} changes"] = waiting.incremental(place, count=given.runs)
            self._hold("a sync of changes, times a run with nothing to do", one.times.median, _INCREMENTAL)
            self.document["incremental"] = asdict(one)
        tables.waited(found)

    def _hold(self, what: str, found: float, most: float) -> None:
        if found > most:
            self.missed.append(what)

    def _picture(self, figures: Figures, *, with_peers: bool) -> str:
        given, machine = self._given, report.machine()
        who = "peers and records" if with_peers else "records"
        fewer = f"{who} one by one: {given.peer_rows:,}" if given.peer_rows != given.rows else ""
        facts = (f"{machine['cpus']} CPUs", f"medians of {given.runs}", fewer, f"{datetime.now(UTC):%Y-%m-%d}")
        title = f"{given.rows:,} Salesforce contacts into Postgres"
        return chart.svg(figures.ways, title=title, foot=", ".join(filter(None, facts)))


def main() -> int:
    """Measure, show, write; 1 where something promised is missed."""
    given = _arguments()
    peers = _peers(given.peers)
    with stage(given.home) as at:
        benchmark = Benchmark(at, given)
        if not given.only_further:
            benchmark.compare(peers)
        if given.curve:
            benchmark.curve()
        if given.shapes:
            benchmark.shapes()
        if given.first_rows or given.incremental:
            benchmark.wait()
    if given.json is not None:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(benchmark.document, indent=2) + "\n", encoding="utf-8")
    for what in benchmark.missed:
        print(f"missed: {what}", file=sys.stderr)
    return 1 if benchmark.missed else 0


def _sized(found: Sequence[Sized]) -> list[dict[str, Any]]:
    return [
        {
            "name": one.name,
            "rows": one.rows,
            "megabytes": round(one.megabytes, 1),
            "pipelines": {way.name: way.document(limit=one.found[0], best=None) for way in one.found},
        }
        for one in found
    ]


def _peers(which: str) -> Sequence[Pipeline]:
    if which == "none":
        return ()
    from bench.salesforce.peers import PEERS

    known: dict[str, Pipeline] = {peer.name: peer for peer in PEERS}
    if which == "all":
        return list(known.values())
    if unknown := [name for name in which.split(",") if name not in known]:
        raise SystemExit(f"There is no peer {', '.join(unknown)}; there are {', '.join(known)}.")
    return [known[name] for name in which.split(",")]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.salesforce", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    option, smaller = parser.add_argument, ",".join(map(str, sizes.CURVE))
    option("--rows", type=int, default=_PEER_ROWS, help="records of the org (default: %(default)s)")
    option("--runs", type=int, default=3, help="of each pipeline (default: %(default)s)")
    option("--json", type=Path, metavar="FILE", help="write the figures there, too")
    option("--chart", type=Path, metavar="FILE.svg", help="draw them; as PNG beside it if rsvg-convert is there")
    option("--peers", default="none", help="none, all, or names with commas (default: %(default)s)")
    option(
        "--peer-rows",
        type=int,
        help=f"records for the peers, and for RECORD (default: --rows, at most {_PEER_ROWS})",
    )
    option("--curve", type=_sizes, nargs="?", const=sizes.CURVE, metavar="N,N", help=f"also sizes ({smaller})")
    option("--shapes", action="store_true", help="also few and many fields, and large texts")
    option("--first-rows", action="store_true", help="also how long until first rows are there")
    option("--incremental", action="store_true", help=f"also syncs of {waiting.CHANGED} changes")
    option("--only-further", action="store_true", help="leave the comparison out")
    option("--home", type=Path, help="an installation to use and keep, instead of a temporary one")
    option("--orgs", type=Path, metavar="DIR", help="keeps the orgs' data for the next time")
    given = parser.parse_args()
    given.peer_rows = min(given.peer_rows or _PEER_ROWS, given.rows)
    return given


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(size) for size in text.split(","))


if __name__ == "__main__":
    sys.exit(main())
