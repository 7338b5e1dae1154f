"""Faults at random points of syncs under way: no record is lost, and every other promise is kept as well.

CHAOS_POINTS says how many faults (6 unless told), CHAOS_SEED which; a failure names the seed that repeats it.
CHAOS_AWAY is how many seconds Postgres is unreachable at most (7.5), CHAOS_TABLE a file for the table of results.
"""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from tests.chaos.faults import FAULTS, Fault
from tests.chaos.place import POINTS, Place

SEED = int(os.environ.get("CHAOS_SEED", "1"))
A_ROUND = 4  # faults between two looks at everything
A_POINT = 120  # seconds, at the very most
TWO = 2  # integrations at once, one for each machine


def deck(random: Random, possible: Sequence[Fault]) -> list[Fault]:
    """So many faults, each kind as often as the others."""
    faults: list[Fault] = []
    while len(faults) < POINTS:
        faults += random.sample(possible, len(possible))
    return faults[:POINTS]


@pytest.mark.timeout(A_POINT * POINTS)
def test_no_fault_at_any_point_loses_a_record_or_breaks_another_promise(place: Place) -> None:
    random = Random(SEED)
    faults = deck(random, [fault for fault in FAULTS if place.disks or not fault.needs_disk])
    place.revive()
    integrations = [place.integration() for _ in range(TWO)]
    broken: list[str] = []
    for number in range(0, POINTS, A_ROUND):
        if number and random.random() < 0.5:
            integrations = [place.integration() for _ in range(TWO)]
        else:
            place.change()
        struck = faults[number : number + A_ROUND]
        found = place.round(struck, random, integrations)
        said = f"{datetime.now(UTC):%H:%M:%S} points {number + 1} to {number + len(struck)}"
        broken += [f"seed {SEED}, {said}: {one.rule}: {one.detail}" for one in found]
        print(said, ", ".join(one.name for one in struck), *found, sep="\n  ", flush=True)  # noqa: T201
        _write_table(place, broken)
        if found:
            integrations = [place.integration() for _ in range(TWO)]
    assert not broken, "\n".join(broken)


def _write_table(place: Place, broken: Sequence[str]) -> None:
    if path := os.environ.get("CHAOS_TABLE"):
        rows = [f"| {name} | {count} |" for name, count in sorted(place.struck.items())]
        total = f"| **all**, on {len(place.seen):,} runs in {sum(place.seen.values()):,} attempts | **{place.struck.total()}** |"
        Path(path).write_text("\n".join(["| fault | points |", "|---|---|", *rows, total, "", *broken, ""]))
