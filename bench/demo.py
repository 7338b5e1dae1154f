"""How long `orchestrator demo` takes: warm, and with --cold from a fresh clone to the end.

Warm: everything is built, the embedded Postgres runs; the same home is used again and again.
Cold: the current commit is cloned, `make demo` makes its environments, home and database; uv and pip get empty caches
of their own, so that every package is downloaded, too.
"""

import os
import sys
import tempfile
from pathlib import Path

from bench.lab import report, stopwatch
from bench.lab.stage import environment, stage
from orchestrator.drivers.embedded_postgres import EmbeddedPostgres
from orchestrator.kernel.environment import project_root

_WARM_LIMIT = 30.0
_COLD_LIMIT = 240.0


def _warm(n: int, home: Path | None) -> list[stopwatch.Took]:
    with stage(home) as at:
        at.orchestrator("demo")  # the first load of this home
        return [at.orchestrator("demo") for _ in range(n)]


def _cold() -> stopwatch.Took:
    """From `git clone` of what is committed to the end of `make demo`; cloning is not counted."""
    with tempfile.TemporaryDirectory(prefix="orchestrator-cold-") as folder:
        clone, home = Path(folder, "clone"), Path(folder, "home")
        shell = {name: value for name, value in environment(home).items() if name != "ORCHESTRATOR_ENV_FILE"}
        env = {**shell, "UV_CACHE_DIR": f"{folder}/uv", "PIP_CACHE_DIR": f"{folder}/pip", "MAKEFLAGS": ""}
        env["PATH"] = os.pathsep.join(part for part in env["PATH"].split(os.pathsep) if ".venv" not in part)
        stopwatch.run(("/usr/bin/env", "git", "clone", "--quiet", project_root(), clone), env=env)
        try:
            return stopwatch.run(("/usr/bin/env", "make", "demo"), env=env, cwd=clone)
        finally:
            EmbeddedPostgres(home).stop_if_unused()


def main() -> int:
    """Measure, show, write."""
    parser = report.arguments(__doc__, n=3)
    parser.add_argument("--cold", action="store_true", help="measure a fresh clone, too; needs the network")
    parser.add_argument("--home", type=Path, help="an installation to use and keep, instead of a temporary one")
    given = parser.parse_args()
    found = report.Report(name="demo", n=given.n)
    warm = _warm(given.n, given.home)
    wall, cpu = (report.spread([getattr(one, what) for one in warm]) for what in ("wall", "cpu"))
    rows = [("warm, wall", wall), ("warm, CPU without Postgres", cpu)]
    found.figures = {"warm": wall, "warm_cpu": cpu}
    found.target("demo, warm, median", wall.median, limit=_WARM_LIMIT, unit="s")
    if given.cold:
        cold = _cold()
        rows.append(("cold, wall", report.spread([cold.wall])))
        found.figures["cold"] = round(cold.wall, 1)
        found.target("demo, cold", cold.wall, limit=_COLD_LIMIT, unit="s")
    report.show("The demo, in seconds", ("", "seconds"), rows)
    print(warm[-1].stderr.decode(errors="replace"))
    return found.end(given.json)


if __name__ == "__main__":
    sys.exit(main())
