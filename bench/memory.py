"""How much memory the orchestrator itself needs during a sync, however many records it moves.

Measured is the peak resident set (VmHWM) of the `orchestrator sync` process, not of Meltano, the plugins or Postgres
beside it. Needs Linux: it is read from /proc.
"""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from bench.lab import report
from bench.lab.stage import Stage, stage
from sandboxes.salesforce import RemoteOrg

_SIZES = (5_000, 50_000)
_LIMIT = 120.0  # MB
_GROWTH = 10.0  # MB more for ten times as many records: noise, not a share per record


@dataclass
class Peak:
    """The highest resident set of a process seen so far, in MB of 2^20 bytes."""

    megabytes: float = field(default=0.0)

    def __call__(self, pid: int) -> None:
        """Look once; the kernel keeps the peak itself, so no moment between two looks is missed but the last."""
        try:
            lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
        except (FileNotFoundError, ProcessLookupError):
            return
        for line in lines:
            if line.startswith("VmHWM:"):
                self.megabytes = max(self.megabytes, int(line.split()[1]) / 1024)


def _measured(at: Stage, records: int) -> tuple[float, float, int]:
    """Peak in MB, seconds and records written of one first sync."""
    peak = Peak()
    with RemoteOrg(counts={"Contact": records}) as org:
        integration = at.salesforce(org, name=f"Memory {records} {uuid4().hex[:8]}", streams=("Contact",))
        took = at.orchestrator("sync", integration.id, "--json", watch=peak)
    [stream] = json.loads(took.stdout)["streams"]
    return peak.megabytes, took.wall, int(stream["written"])


def main() -> int:
    """Measure, show, write."""
    parser = report.arguments(__doc__, n=1)
    parser.add_argument("--records", type=int, nargs="+", default=_SIZES, help="sizes of the stream, smallest first")
    parser.add_argument("--home", type=Path, help="an installation to use and keep, instead of a temporary one")
    given = parser.parse_args()
    found = report.Report(name="memory", n=given.n)
    peaks: dict[int, float] = {}
    rows = []
    with stage(given.home) as at:
        for records in given.records:
            runs = [_measured(at, records) for _ in range(given.n)]
            peaks[records] = max(peak for peak, _, _ in runs)
            rows.append((f"{records:,}", f"{peaks[records]:.1f}", f"{runs[-1][1]:.1f}", f"{runs[-1][2]:,}"))
    report.show("Peak memory of one sync", ("records", "peak, MB", "wall, seconds", "written"), rows)
    found.figures = {"peak_mb": {str(records): round(peak, 1) for records, peak in peaks.items()}}
    found.target("peak of the orchestrator process", max(peaks.values()), limit=_LIMIT, unit="MB")
    smallest, largest = peaks[given.records[0]], peaks[given.records[-1]]
    found.target("growth from the smallest to the largest", largest - smallest, limit=_GROWTH, unit="MB")
    return found.end(given.json)


if __name__ == "__main__":
    sys.exit(main())
