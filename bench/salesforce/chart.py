"""The figures as a small picture: bars for records a second and for CPU, readable on light and on dark pages."""

import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from bench.salesforce.figures import PER, Summary
from bench.salesforce.pipelines import Kind

_WIDTH, _LABELS, _GAP, _EDGE = 1120, 430, 28, 24
_BAR, _STEP, _TOP, _FOOT = 16, 30, 84, 34
_NUMBERS = 78  # room for the figure behind a bar
_ORDER: Final = (Kind.LIMIT, Kind.OURS, Kind.PEER)
_STYLE: Final = """
  text { font: 13px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #1f2328 }
  .title { font-size: 16px; font-weight: 600 } .quiet { fill: #59636e; font-size: 12px } .mine { font-weight: 600 }
  .back { fill: #ffffff; stroke: #d1d9e0 } .limit { fill: #8c959f } .ours { fill: #0969da } .peer { fill: #d4863a }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .quiet { fill: #9198a1 } .back { fill: #0d1117; stroke: #3d444d }
    .limit { fill: #768390 } .ours { fill: #4493f8 } .peer { fill: #db9a54 }
  }
"""


def svg(ways: Sequence[Summary], *, title: str, foot: str) -> str:
    """The picture as text; fastest first within the limit, ours and the peers."""
    ranked = sorted(ways, key=lambda way: (_ORDER.index(way.kind), -way.rate))
    height = _TOP + len(ranked) * _STEP + _FOOT
    size = f'viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label={quoteattr(title)}>',
            f"<style>{_STYLE}</style>",
            f'<rect class="back" x="0.5" y="0.5" width="{_WIDTH - 1}" height="{height - 1}" rx="8"/>',
            f'<text class="title" x="{_EDGE}" y="34">{escape(title)}</text>',
            *_labels(ranked),
            *_panel(ranked, 0, "records per second: longer is better", lambda way: way.rate, "{:,.0f}"),
            *_panel(ranked, 1, f"CPU seconds per {PER:,} records: shorter is better", lambda way: way.cpu, "{:,.1f}"),
            f'<text class="quiet" x="{_EDGE}" y="{height - 14}">{escape(foot)}</text>',
            "</svg>\n",
        ]
    )


def _labels(ways: Sequence[Summary]) -> Iterator[str]:
    for at, way in enumerate(ways):
        mine = ' class="mine"' if way.kind is Kind.OURS else ""
        yield f'<text{mine} x="{_EDGE}" y="{_TOP + at * _STEP + _BAR - 3}">{escape(way.title)}</text>'


def _panel(
    ways: Sequence[Summary], number: int, head: str, of: Callable[[Summary], float], shown: str
) -> Iterator[str]:
    width = (_WIDTH - _EDGE - _LABELS) / 2 - _GAP
    left = _LABELS + _EDGE + number * (width + _GAP)
    scale = (width - _NUMBERS) / max(of(way) for way in ways)
    yield f'<text class="quiet" x="{left:.1f}" y="{_TOP - 18}">{escape(head)}</text>'
    for at, way in enumerate(ways):
        top, length = _TOP + at * _STEP, max(of(way) * scale, 1.5)
        yield (
            f'<rect class="{way.kind.value}" x="{left:.1f}" y="{top}" width="{length:.1f}" height="{_BAR}" rx="2"/>'
            f'<text x="{left + length + 6:.1f}" y="{top + _BAR - 3}">{shown.format(of(way))}</text>'
        )


def write(file: Path, text: str) -> None:
    """The picture as SVG, and as PNG beside it where librsvg's rsvg-convert is installed."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    convert = shutil.which("rsvg-convert")
    if convert is not None:
        subprocess.run([convert, "--zoom=2", f"--output={file.with_suffix('.png')}", str(file)], check=True)
