"""How fast commands that only read are, with a warm embedded database, and what they import.

The floor is `python -c "import typer, sqlalchemy, psycopg"`: what any command line on these libraries costs. Commands
and the floor take turns, and differences are taken within a round. What a command imports is read from `sys.modules`
after a run in a process of its own.
"""

import json
import sys
import tempfile
from pathlib import Path
from uuid import uuid4

from bench.lab import report, stopwatch
from bench.lab.stage import Stage, stage
from sandboxes.salesforce import RemoteOrg

_FLOOR_NAME = "floor"
_FLOOR = (sys.executable, "-c", "import typer, sqlalchemy, psycopg")
_FORBIDDEN = ("meltano", "fastapi", "supabase")  # a command that imports one of these fails the benchmark
_UNUSED = ("alembic", "cryptography", "jsonschema", "urllib3")  # of no use to a listing; named where they turn up
_MODULES = """
import json, sys
from pathlib import Path
from orchestrator.entry import main
code = main.run(sys.argv[2:])
Path(sys.argv[1]).write_text(json.dumps(sorted(sys.modules)))
sys.exit(code)
"""


def _imported(at: Stage, command: tuple[str, ...]) -> set[str]:
    """Top-level packages in memory after a command."""
    with tempfile.NamedTemporaryFile() as file:
        stopwatch.run((sys.executable, "-c", _MODULES, file.name, *command), env=at.env)
        return {name.partition(".")[0] for name in json.loads(Path(file.name).read_text(encoding="utf-8"))}


def main() -> int:
    """Measure, show, write."""
    parser = report.arguments(__doc__, n=15)
    parser.add_argument("--home", type=Path, help="an installation to use and keep, instead of a temporary one")
    given = parser.parse_args()
    with stage(given.home) as at, RemoteOrg(counts={"Account": 10}) as org:
        integration = at.salesforce(org, name=f"Listed {uuid4().hex[:8]}", streams=("Account",))
        at.orchestrator("sync", integration.id, "--quiet")
        commands = {
            "integrations list": ("integrations", "list"),
            "runs list": ("runs", "list"),
            "connectors list": ("connectors", "list"),
            "state ID": ("state", integration.id),
        }
        rounds: list[dict[str, stopwatch.Took]] = []
        for _ in range(given.n + 1):
            took = {name: at.orchestrator(*command) for name, command in commands.items()}
            rounds.append({_FLOOR_NAME: stopwatch.run(_FLOOR, env=at.env), **took})
        packages = {name: _imported(at, command) for name, command in commands.items()}
    return _reported(rounds[1:], packages).end(given.json)  # the first round warms up


def _reported(rounds: list[dict[str, stopwatch.Took]], packages: dict[str, set[str]]) -> report.Report:
    found = report.Report(name="cli", n=len(rounds))
    rows = []
    for name in rounds[0]:
        wall = report.spread([one[name].wall for one in rounds])
        above = report.spread([one[name].wall - one[_FLOOR_NAME].wall for one in rounds])
        cpu = report.spread([one[name].cpu for one in rounds])
        needless = sorted(packages.get(name, set()) & {*_FORBIDDEN, *_UNUSED})
        rows.append((name, wall, above, cpu, ", ".join(needless) or "–"))
        found.figures[name] = {"wall": wall, "above_floor": above, "cpu": cpu, "imported_without_need": needless}
        if name != _FLOOR_NAME:
            found.target(f"{name}, median wall", wall.median, limit=0.8, unit="s")
            found.target(f"{name}, median above the floor", above.median, limit=0.3, unit="s")
    columns = ("command", "wall, s", "above the floor, s", "CPU, s", "imported without need")
    report.show(f"Read-only commands, {len(rounds)} rounds", columns, rows)
    wrong = sorted(set().union(*packages.values()) & set(_FORBIDDEN))
    found.target(f"forbidden packages imported: {', '.join(wrong) or 'none'}", len(wrong), limit=0, unit="packages")
    return found


if __name__ == "__main__":
    sys.exit(main())
