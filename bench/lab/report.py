"""What a benchmark found: a table for people, a document for machines, and whether its targets were met."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Several measurements of one thing."""

    median: float
    lowest: float
    highest: float
    n: int

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.lowest:.2f}-{self.highest:.2f})"


def spread(values: Sequence[float]) -> Spread:
    """Median and range."""
    return Spread(
        median=round(statistics.median(values), 4),
        lowest=round(min(values), 4),
        highest=round(max(values), 4),
        n=len(values),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One promise: what was measured must not be above the limit."""

    what: str
    measured: float
    limit: float
    unit: str

    @property
    def met(self) -> bool:
        """Whether the promise is kept."""
        return self.measured <= self.limit


@dataclass(kw_only=True)
class Report:
    """Collects what one benchmark finds, then shows and writes it."""

    name: str
    n: int
    figures: dict[str, Any] = field(default_factory=dict)
    targets: list[Target] = field(default_factory=list)

    def target(self, what: str, measured: float, *, limit: float, unit: str) -> None:
        """Hold a measurement against its limit."""
        self.targets.append(Target(what=what, measured=round(measured, 4), limit=limit, unit=unit))

    def end(self, file: Path | None) -> int:
        """Show the targets, write the document, answer the exit code: 1 where a target is missed."""
        rows = [
            (target.what, f"{target.measured:g} {target.unit}", f"≤ {target.limit:g} {target.unit}", _mark(target))
            for target in self.targets
        ]
        show(f"{self.name}: targets", ("target", "measured", "limit", ""), rows)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(self._document(), indent=2, default=_plain) + "\n", encoding="utf-8")
        return 0 if all(target.met for target in self.targets) else 1

    def _document(self) -> dict[str, Any]:
        return {
            "benchmark": self.name,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(),
            "commit": commit(),
            "n": self.n,
            "figures": self.figures,
            "targets": [{**asdict(target), "met": target.met} for target in self.targets],
        }


def _mark(target: Target) -> str:
    return "met" if target.met else "MISSED"


def _plain(value: Any) -> Any:
    if isinstance(value, Spread):
        return asdict(value)
    raise TypeError(type(value).__name__)


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table on stdout; every column but the first is numbers."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for position, column in enumerate(columns):
        table.add_column(column, justify="left" if position == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
    console.print()


def machine() -> dict[str, Any]:
    """What was measured on, and how busy it was."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "python": platform.python_version(),
        "load": [round(load, 2) for load in os.getloadavg()],
    }


def commit() -> str | None:
    """What was measured, as git names it."""
    here = Path(__file__).parent
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=here, capture_output=True, check=False)  # noqa: S607
    return found.stdout.decode().strip() or None


def arguments(about: str | None, *, n: int) -> argparse.ArgumentParser:
    """The options every benchmark has."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("-n", type=int, default=n, help="how often each thing is measured (default: %(default)s)")
    return parser
