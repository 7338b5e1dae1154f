"""The limit and ours with other numbers of records, and with records of other shapes."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from bench.lab.stage import Stage
from bench.salesforce import ours
from bench.salesforce.figures import Summary
from bench.salesforce.pipelines import Pipeline
from bench.salesforce.running import Entry, in_turns, lab
from bench.salesforce.source import source

CURVE: Final = (10_000, 100_000, 1_000_000, 10_000_000)
WAYS: Final[Sequence[Pipeline]] = (ours.LIMITS[0], *ours.BY_FILES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Records of some width.

    fields:  custom ones, besides eight that every object has
    text:    characters of a long one
    """

    name: str
    fields: int
    text: int
    rows: int


SHAPES: Final = (
    Shape(name="3 fields", fields=3, text=0, rows=500_000),
    Shape(name="40 fields", fields=40, text=0, rows=200_000),
    Shape(name="400 fields", fields=400, text=0, rows=20_000),
    Shape(name="40 fields, large text", fields=40, text=4_000, rows=20_000),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized:
    """What one size or shape took. megabytes: of CSV."""

    name: str
    rows: int
    megabytes: float
    found: Sequence[Summary]


def curve(at: Stage, *, sizes: Sequence[int], runs: int, orgs: Path | None) -> list[Sized]:
    """The same object in several sizes; the largest ones run once, where starting counts for nothing."""
    return [
        _sized(at, "Contact", f"{rows:,}", rows, (), runs=runs if rows <= CURVE[2] else 1, orgs=orgs) for rows in sizes
    ]


def shapes(at: Stage, *, runs: int, orgs: Path | None) -> list[Sized]:
    """One object in several shapes."""
    return [
        _sized(
            at,
            "Wide__c",
            shape.name,
            shape.rows,
            (f"--wide-fields={shape.fields}", f"--wide-text={shape.text}"),
            runs=runs,
            orgs=orgs,
        )
        for shape in SHAPES
    ]


def _sized(
    at: Stage, sobject: str, name: str, rows: int, options: Sequence[str], *, runs: int, orgs: Path | None
) -> Sized:
    with source(sobject, rows, options=options, cache=orgs) as org, lab(at, org, at.drivers.settings.home) as place:
        found, _ = in_turns([Entry(lab=place, pipeline=way) for way in WAYS], runs, warm=rows <= CURVE[2])
        return Sized(name=name, rows=org.rows, megabytes=org.size() / 1e6, found=found)


def slopes(points: Sequence[tuple[int, float]]) -> list[float]:
    """Seconds for each further 100,000 records, between neighbouring sizes: all the same where cost is linear."""
    return [(after - before) / (larger - smaller) * 100_000 for (smaller, before), (larger, after) in pairwise(points)]
