"""What the Salesforce benchmark found, as tables on stdout."""

import itertools
from collections.abc import Mapping, Sequence

from bench.lab import report
from bench.salesforce.figures import FULL, PER, Figures, Summary, faster, leaner
from bench.salesforce.sizes import Sized, slopes
from bench.salesforce.waiting import Waited


def compared(figures: Figures, *, title: str) -> None:
    """Everybody side by side, and the promises."""
    limit, best = figures.limit, figures.best_peer(lambda way: way.rate)
    rows = [
        (
            way.title,
            f"{way.rows:,}",
            f"{way.rate:,.0f}",
            f"{way.cpu:.2f}",
            f"{way.postgres_cpu:.2f}",
            f"{way.rss:.0f}/{way.largest:.0f}",
            _times(faster(way, limit)),
            _times(leaner(way, limit)),
            _times(faster(way, best)),
            _times(leaner(way, best)),
            _end(way),
        )
        for way in figures.ways
    ]
    heads = ("", "records", "per s", "CPU s", "Postgres", "MB", "rate", "CPU", "rate", "CPU", "table")
    report.show(title, heads, rows)
    print(
        f"CPU s and Postgres: seconds per {PER:,} records. MB: all processes/the largest. rate, CPU: times the limit's"
        " records/s and records per CPU second, then times the best peer's. table: compared with the source.\n"
    )
    judged = [
        (promise.title, _times(found), f"≥ {promise.least:g}", _verdict(found, kept))
        for promise, found, kept in figures.judged()
    ]
    report.show("Promises", ("", "found", "least", ""), judged)


def sized(found: Sequence[Sized], *, title: str, line: bool) -> None:
    """Sizes or shapes. line: whether cost should be a straight line over them."""
    rows = [
        (
            f"{one.name}: {way.title}",
            f"{one.rows:,}",
            f"{one.rows / way.rate:,.1f}",
            f"{way.rate:,.0f}",
            f"{one.megabytes * way.rate / one.rows:,.1f}",
            f"{way.cpu * one.rows / PER:,.2f}",
            f"{way.rss:.0f}",
        )
        for one in found
        for way in one.found
    ]
    report.show(title, ("", "records", "seconds", "records/s", "MB/s of CSV", "CPU s", "MB"), rows)
    if line:
        steps = [f"{smaller.name} to {larger.name}" for smaller, larger in itertools.pairwise(found)]
        table = [
            (way.title, *(f"{slope:.2f}" for slope in slopes([_point(one, way.name) for one in found])))
            for way in (found[0].found if len(found) > 1 else ())
        ]
        report.show("Seconds for each further 100,000 records", ("", *steps), table)


def waited(found: Mapping[str, Waited]) -> None:
    """What people wait for, beside a run with nothing to do."""
    rows = [(name, str(one.ours), str(one.nothing), str(one.more), str(one.times)) for name, one in found.items()]
    report.show("Seconds until", ("", "ours", "nothing to do", "more", "times"), rows)


def _point(one: Sized, name: str) -> tuple[int, float]:
    [way] = [way for way in one.found if way.name == name]
    return one.rows, one.rows / way.rate


def _times(found: float | None) -> str:
    return "–" if found is None else f"{found:.2f}"


def _end(way: Summary) -> str:
    if way.keyed is None:
        return "a file"
    same = f"{len(way.differing)} differ" if way.differing else "same"
    return same if way.keyed else f"{same}, no key"


def _verdict(found: float | None, kept: bool | None) -> str:
    if kept is None:
        return "not measured" if found is None else f"judged from {FULL:,} records"
    return "kept" if kept else "MISSED"
