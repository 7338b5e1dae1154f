"""How fast commands that only read are, with a warm embedded database, and what they import.

The floor is `python -c "import typer, sqlalchemy, psycopg"`: what any command line on these libraries costs. Commands
and the floor take turns. What a command imports is read from `sys.modules` after a run in a process of its own.
"""

import json
import sys
import tempfile
from pathlib import Path
from uuid import uuid4

from bench.lab import report, stopwatch
from bench.lab.stage import Stage, stage
from sandboxes.salesforce import RemoteOrg

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
        times: dict[str, list[float]] = {name: [] for name in ("floor", *commands)}
        for _ in range(given.n + 1):
            times["floor"].append(stopwatch.run(_FLOOR, env=at.env).wall)
            for name, command in commands.items():
                times[name].append(at.orchestrator(*command).wall)
        packages = {name: _imported(at, command) for name, command in commands.items()}
    measured = {name: report.spread(found[1:]) for name, found in times.items()}  # the first round warms up
    return _reported(measured, packages, n=given.n).end(given.json)


def _reported(measured: dict[str, report.Spread], packages: dict[str, set[str]], *, n: int) -> report.Report:
    found = report.Report(name="cli", n=n)
    floor = measured["floor"].median
    rows = [
        (
            name,
            one,
            f"{one.median - floor:+.2f}",
            ", ".join(sorted(packages.get(name, set()) & {*_FORBIDDEN, *_UNUSED})) or "–",
        )
        for name, one in measured.items()
    ]
    show_as = ("command", "wall, seconds", "above the floor", "imported without need")
    report.show(f"Read-only commands, {n} rounds", show_as, rows)
    found.figures = {**measured, "imported_without_need": {row[0]: row[3] for row in rows[1:]}}
    for name, one in measured.items():
        if name != "floor":
            found.target(f"{name}, median wall", one.median, limit=0.8, unit="s")
            found.target(f"{name}, above the floor", one.median - floor, limit=0.3, unit="s")
    wrong = sorted(set().union(*packages.values()) & set(_FORBIDDEN))
    found.target(f"forbidden packages imported: {', '.join(wrong) or 'none'}", len(wrong), limit=0, unit="packages")
    return found


if __name__ == "__main__":
    sys.exit(main())
