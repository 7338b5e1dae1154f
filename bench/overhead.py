"""What the orchestrator adds to a sync: `orchestrator sync` against a bare `meltano run` of the same project.

Both sides get the same files, environment, plugins, catalog, state and launcher, and move the same records: before
each pair some change at the source. The bare side is rendered by the driver's own functions outside the clock, and
its state socket answers without a database. It is started by Meltano's own script, as a person would; the orchestrator
starts Meltano a little faster (drivers/meltano/begin.py), which counts for it here. `--same-start` takes that away.
Sides alternate, and so does which of them goes first.

overhead = wall of the command, from its process's start to its end, minus the wall of `meltano run`; the same for CPU,
which counts every process below the measured one but not the Postgres server, which both use.

After each pair comes a sync that finds nothing new: what a sync costs that has nothing to do, and how little more it is
with some changed records. There is no look-back here, or it would find those of the pair again.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from bench.lab import report, stopwatch
from bench.lab.stage import Stage, stage
from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.types import Integration
from orchestrator.domains.runs import rules
from orchestrator.domains.runs import service as runs
from orchestrator.drivers.meltano import begin, command, directory, notes, output, project, socket_server
from orchestrator.drivers.meltano.judge import Judge
from orchestrator.drivers.meltano.programs import programs
from orchestrator.drivers.meltano.values import BATCH_FOLDER, NOTES_FILE, TOKEN_SOCKET, Project
from sandboxes.salesforce import RemoteOrg

_STREAMS = ("Account", "Contact")
_MELTANO = str(Path(sys.executable).with_name("meltano"))
OWN_SCRIPT = (_MELTANO,)
SAME_START = (sys.executable, "-I", begin.__file__, _MELTANO)


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One side of a pair. written: records per stream, as the target counted them."""

    took: stopwatch.Took
    written: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The same work done twice, then a sync without work."""

    bare: Side
    ours: Side
    idle: Side
    run: dict[str, Any]

    @property
    def wall(self) -> float:
        """Seconds the orchestrator added."""
        return self.ours.took.wall - self.bare.took.wall

    @property
    def cpu(self) -> float:
        """CPU seconds the orchestrator added."""
        return self.ours.took.cpu - self.bare.took.cpu

    def parts(self) -> dict[str, float]:
        """Where the added seconds are: the first, second and last measured, the third what is left."""
        requested, started, finished = (
            datetime.fromisoformat(self.run[name]).timestamp() for name in ("requested_at", "started_at", "finished_at")
        )
        return {
            "start of the command, until the run is requested": requested - self.ours.took.began,
            "until the run is claimed": started - requested,
            "around Meltano: plan, render, supervise, store, settle": (finished - started) - self.bare.took.wall,
            "after the run is settled": self.ours.took.ended - finished,
        }


@contextmanager
def rendered(
    at: Stage, integration: Integration, state: dict[str, Any] | None
) -> Iterator[tuple[tuple[str, ...], dict[str, str], Path]]:
    """What a sync would start now: arguments, environment and directory, rendered by the driver itself."""
    meltano = at.drivers.meltano
    plan = integrations.plan(at.drivers, integration)
    what = Project(extractor=plan.extractor, loader=plan.loader, catalog=plan.catalog, state_id=integration.id)
    number = uuid4()
    with ExitStack() as stack:
        place = stack.enter_context(directory.run_directory(meltano.runs_root))
        answers = socket_server.state_answers(lambda _id: state, lambda _id, _state: None)
        serving = socket_server.serving(place.sockets / "state.sock", answers, limit=socket_server.STATE_LIMIT)
        address = stack.enter_context(serving)
        found = project.render(
            what,
            programs=programs(meltano.home),
            markers={
                TOKEN_SOCKET: str(place.sockets / "token.sock"),
                BATCH_FOLDER: (place.path / project.BATCHES).as_uri(),
                NOTES_FILE: str(notes.file(place.path)),
            },
            inherited=meltano.inherited,
            limits=meltano.limits,
        )
        project.write(found, place, what)
        project.discard_log(what, place, number)
        env = project.process_environment(
            found, place, state_uri=f"orchestrator://{address}", inherited=meltano.inherited
        )
        assert what.loader is not None
        argv = command.run(what.extractor.name, what.loader.name, state_id=what.state_id, run_id=number)
        yield argv, env, place.path


def bare(at: Stage, integration: Integration, state: dict[str, Any] | None, meltano: tuple[str, ...]) -> Side:
    """`meltano run`, and nothing else."""
    with rendered(at, integration, state) as (argv, env, folder):
        took = stopwatch.run((*meltano, *argv), env=env, cwd=folder)
    judge = Judge()
    for line in took.stderr.splitlines():
        said = output.read(line)
        if said is not None:
            judge.see(said)
    return Side(took=took, written=dict(judge.counts(output.Source.TARGET)))


def ours(at: Stage, integration: Integration) -> tuple[Side, dict[str, Any]]:
    """`orchestrator sync`."""
    took = at.orchestrator("sync", integration.id, "--json")
    run: dict[str, Any] = json.loads(took.stdout)
    return Side(took=took, written={one["stream"]: one["written"] for one in run["streams"]}), run


def pair(
    at: Stage, org: RemoteOrg, integration: Integration, *, changed: int, ours_first: bool, meltano: tuple[str, ...]
) -> Pair:
    """Change records at the source, move them both ways from the same state, then find nothing more."""
    if changed:
        org.churn("Contact", update=changed)
    state = rules.state_of({entry.stream: entry.bookmark for entry in runs.show(at.drivers, integration)})
    plain = None if ours_first else bare(at, integration, state, meltano)
    mine, run = ours(at, integration)
    plain = plain or bare(at, integration, state, meltano)
    if plain.written != mine.written:
        raise stopwatch.ProgramFailedError(f"The sides moved different records: {plain.written} and {mine.written}.")
    idle, _ = ours(at, integration)
    if any(idle.written.values()):
        raise stopwatch.ProgramFailedError(f"A sync found what was synced already: {idle.written}.")
    return Pair(bare=plain, ours=mine, idle=idle, run=run)


def main() -> int:
    """Measure, show, write."""
    parser = report.arguments(__doc__, n=9)
    parser.add_argument("--changed", type=int, default=200, help="records changed before each pair (default: 200)")
    parser.add_argument("--records", type=int, default=2_000, help="how many the larger table has (default: 2000)")
    parser.add_argument("--home", type=Path, help="an installation to use and keep, instead of a temporary one")
    parser.add_argument("--same-start", action="store_true", help="start the bare side as the orchestrator does")
    given = parser.parse_args()
    meltano = SAME_START if given.same_start else OWN_SCRIPT
    with stage(given.home) as at, RemoteOrg(counts={"Account": 500, "Contact": given.records}) as org:
        integration = at.salesforce(org, name=f"Overhead {uuid4().hex[:8]}", streams=_STREAMS, lookback_minutes=0)
        pair(at, org, integration, changed=0, ours_first=True, meltano=meltano)  # the first load, and warm caches
        pairs = [
            pair(at, org, integration, changed=given.changed, ours_first=bool(number % 2), meltano=meltano)
            for number in range(given.n)
        ]
    found = _reported(pairs, changed=given.changed)
    found.figures["bare_side"] = "started as the orchestrator does" if given.same_start else "started by its own script"
    return found.end(given.json)


def _reported(pairs: list[Pair], *, changed: int) -> report.Report:
    found = report.Report(name="overhead", n=len(pairs))
    rows = {
        "meltano run, wall": report.spread([one.bare.took.wall for one in pairs]),
        "orchestrator sync, wall": report.spread([one.ours.took.wall for one in pairs]),
        "overhead, wall": report.spread([one.wall for one in pairs]),
        "meltano run, CPU": report.spread([one.bare.took.cpu for one in pairs]),
        "orchestrator sync, CPU": report.spread([one.ours.took.cpu for one in pairs]),
        "sync that finds nothing, wall": report.spread([one.idle.took.wall for one in pairs]),
        "sync that finds nothing, CPU": report.spread([one.idle.took.cpu for one in pairs]),
        "overhead, CPU": report.spread([one.cpu for one in pairs]),
    }
    parts = {name: report.spread([one.parts()[name] for one in pairs]) for name in pairs[0].parts()}
    report.show(f"One sync of {changed} changed records, {len(pairs)} pairs", ("", "seconds"), list(rows.items()))
    report.show("Where the added wall seconds are", ("", "seconds"), list(parts.items()))
    found.figures = {"changed": changed, **rows, "parts": parts}
    found.target("overhead per sync, median wall", rows["overhead, wall"].median, limit=0.5, unit="s")
    for what in ("wall", "CPU"):
        more = rows[f"orchestrator sync, {what}"].median / rows[f"sync that finds nothing, {what}"].median
        found.target(f"{changed} changed records against none, median {what}", more, limit=1.3, unit="×")
    return found


if __name__ == "__main__":
    sys.exit(main())
