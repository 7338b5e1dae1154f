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
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.lab import report
from bench.lab.stage import Stage, stage
from bench.salesforce import chart, ours
from bench.salesforce.figures import FULL, Figures, Summary, faster, leaner
from bench.salesforce.pipelines import Pipeline
from bench.salesforce.running import Entry, in_turns, lab
from bench.salesforce.source import source

_OBJECT = "Contact"
_ALONE = 1_000_000  # records a second that the org must hand out by itself
_PEER_ROWS = 200_000


def main() -> int:
    """Measure, show, write."""
    given = _arguments()
    with stage(given.home) as at:
        document, exit_code = _compared(at, given)
    if given.json is not None:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return exit_code


def _compared(at: Stage, given: argparse.Namespace) -> tuple[dict[str, Any], int]:
    peers = _peers(given.peers)
    keep = at.drivers.settings.home
    with ExitStack() as stack:
        org = stack.enter_context(source(_OBJECT, given.rows, cache=given.orgs))
        mine = stack.enter_context(lab(at, org, keep))
        theirs = mine
        if peers and given.peer_rows != given.rows:
            smaller = stack.enter_context(source(_OBJECT, given.peer_rows, cache=given.orgs))
            theirs = stack.enter_context(lab(at, smaller, keep))
        alone = org.alone()
        entries = [Entry(lab=mine, pipeline=way) for way in (*ours.LIMITS, *ours.OURS)]
        entries += [Entry(lab=theirs, pipeline=peer) for peer in peers]
        found, failed = in_turns(entries, given.runs)
    figures = Figures(ways=found)
    _show(figures, rows=given.rows, alone=alone)
    if given.chart is not None:
        chart.write(given.chart, _picture(figures, given))
    document = {
        "benchmark": "salesforce",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": report.machine(),
        "commit": report.commit(),
        "n": given.runs,
        "rows": given.rows,
        "peer_rows": given.peer_rows if peers else None,
        "object": _OBJECT,
        "fields": len(org.fields),
        "org_alone_records_per_s": round(alone),
        **figures.document(),
        "left_out": failed,
    }
    missed = [promise for promise, _, kept in figures.judged() if kept is False]
    return document, 1 if missed or alone < _ALONE else 0


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


def _show(figures: Figures, *, rows: int, alone: float) -> None:
    limit, best = figures.limit, figures.best_peer(lambda way: way.rate)
    table = [
        (
            way.title,
            f"{way.rows:,}",
            f"{way.rate:,.0f}",
            f"{way.cpu:.2f}",
            f"{way.postgres_cpu:.2f}",
            f"{way.rss:.0f}",
            f"{way.largest:.0f}",
            _times(faster(way, limit)),
            _times(leaner(way, limit)),
            _times(faster(way, best)),
            _end(way),
        )
        for way in figures.ways
    ]
    heads = ("", "records", "records/s", "CPU s", "Postgres s", "MB", "largest", "rate", "CPU", "to peer", "end state")
    report.show(
        f"{rows:,} records of {_OBJECT} into Postgres; medians of {len(figures.ways[0].runs)}; CPU per 200,000 records;"
        f" rate and CPU to the limit; the org alone: {alone:,.0f} records/s",
        heads,
        table,
    )
    judged = [
        (promise.title, _times(found), f"≥ {promise.least:g}", _verdict(found, kept))
        for promise, found, kept in figures.judged()
    ]
    report.show("Promises", ("", "found", "least", ""), judged)


def _times(found: float | None) -> str:
    return "–" if found is None else f"{found:.2f}"


def _end(way: Summary) -> str:
    if way.keyed is None:
        return "a file"
    same = "as the source" if not way.differing else f"differs in {len(way.differing)} columns"
    return same if way.keyed else f"{same}, no key"


def _verdict(found: float | None, kept: bool | None) -> str:
    if kept is None:
        return "not measured" if found is None else f"judged from {FULL:,} records"
    return "kept" if kept else "MISSED"


def _picture(figures: Figures, given: argparse.Namespace) -> str:
    fewer = f"peers {given.peer_rows:,} records" if given.peer_rows != given.rows and given.peers != "none" else ""
    machine = report.machine()
    facts = [f"{machine['cpus']} CPUs", f"medians of {given.runs}", fewer, f"{datetime.now(UTC):%Y-%m-%d}"]
    title = f"{given.rows:,} Salesforce contacts into Postgres"
    shown = [way for way in figures.ways if way.keyed is not False]
    return chart.svg(shown, title=title, foot=", ".join(filter(None, facts)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.salesforce", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=_PEER_ROWS, help="records of the org (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="of each pipeline (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("--chart", type=Path, metavar="FILE.svg", help="draw them, as PNG too if rsvg-convert is there")
    parser.add_argument("--peers", default="none", help="none, all, or names with commas (default: %(default)s)")
    parser.add_argument("--peer-rows", type=int, help=f"records for peers (default: --rows, at most {_PEER_ROWS:,})")
    parser.add_argument("--home", type=Path, help="an installation to use and keep, instead of a temporary one")
    parser.add_argument("--orgs", type=Path, metavar="DIR", help="keeps the orgs' data for the next time")
    given = parser.parse_args()
    given.peer_rows = min(given.peer_rows or _PEER_ROWS, given.rows)
    return given


if __name__ == "__main__":
    sys.exit(main())
