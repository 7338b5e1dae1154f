"""A worker with known bugs, to see the checker catch it: `python -m tests.chaos.planted BUG,… worker …`.

Each bug is one that such systems are known for. They are put into this process only; the product knows no switch.
"""

import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from sqlalchemy import func, update
from sqlalchemy.dialects.postgresql import insert

from orchestrator.domains.runs import queries
from orchestrator.domains.runs.service import ending, recording
from orchestrator.domains.runs.service.recording import Recorder
from orchestrator.domains.runs.tables import AttemptRow, RunRow, StreamStateRow
from orchestrator.domains.runs.types import RunStatus
from orchestrator.drivers.meltano import directory, process, runner
from orchestrator.entry import start

LATE = {
    "replication_key": "SystemModstamp",
    "replication_key_value": "2026-11-29T00:00:00Z",
    "formulas_read_at": "2099-01-01T00:00:00Z",
}


def state_before_rows() -> None:
    """State says that everything is read before it is written."""
    begin = Recorder.start_from

    def early(self: Recorder, bookmarks: Mapping[str, Mapping[str, Any]], append: Any) -> None:
        begin(self, bookmarks, append)
        self._commit({"Contact": {"completed": LATE}})
        self._patiently = lambda write: None

    Recorder.start_from = early


def no_fencing() -> None:
    """Nobody asks whether the run is still ours, and its processes may live on."""

    def append_state(tx: Any, attempt: Any, bookmarks: Mapping[str, Any]) -> None:
        for stream, bookmark in bookmarks.items():
            row = {"org_id": attempt.org_id, "integration_id": attempt.integration_id, "stream": stream}
            rest = {"bookmark": bookmark, "reason": "run", "run_id": attempt.run_id, "epoch": attempt.epoch}
            tx.execute(insert(StreamStateRow).values(**row, **rest))

    queries.append_state = append_state
    queries.hold = lambda tx, attempt, renew=None: RunStatus.RUNNING
    Recorder.assert_held = lambda self: None
    recording.Lease = lambda until: process.Lease(float("inf"))


def ended_twice() -> None:
    """The end is announced again."""
    once = ending.announce

    def twice(tx: Any, run: Any) -> None:
        once(tx, run)
        once(tx, run)

    ending.announce = twice


def directory_left() -> None:
    """The run's directory is not removed."""
    directory.remove = lambda path: None


def process_left() -> None:
    """Something is started beside Meltano, and nobody ends it."""
    stream = runner.stream

    def beside(process: Any, **callbacks: Any) -> Any:
        subprocess.Popen(
            ("sleep", "600"),
            cwd=process.directory.path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        return stream(process, **callbacks)

    runner.stream = beside


def state_goes_back() -> None:
    """An old bookmark is written once more, as by a write that was late."""
    commit = Recorder._commit

    def again(self: Recorder, moved: Mapping[str, Mapping[str, Any]]) -> None:
        commit(self, moved)
        commit(self, {"Contact": {"completed": {**LATE, "replication_key_value": "2019-01-01T00:00:00Z"}}})

    Recorder._commit = again


def lease_not_renewed() -> None:
    """The heart doesn't beat."""
    Recorder._beat = lambda self: None


def epoch_not_raised() -> None:
    """A run that is tried again keeps its epoch."""

    def insert_attempt(tx: Any, org_id: str, run_id: str, *, epoch: int, worker: str, lease: Any) -> None:
        tx.execute(update(RunRow).where(RunRow.id == run_id).values(epoch=1))
        added = insert(AttemptRow).values(
            org_id=org_id, run_id=run_id, epoch=1, worker=worker, lease_until=func.clock_timestamp() + lease
        )
        again = {"worker": worker, "finished_at": None, "lease_until": func.clock_timestamp() + lease}
        tx.execute(added.on_conflict_do_update(index_elements=["org_id", "run_id", "epoch"], set_=again))

    import_module("orchestrator.domains.runs.queries.runs")._insert_attempt = insert_attempt


BUGS: tuple[Callable[[], None], ...] = (
    state_before_rows,
    no_fencing,
    ended_twice,
    directory_left,
    process_left,
    state_goes_back,
    lease_not_renewed,
    epoch_not_raised,
)

if __name__ == "__main__":
    chosen = sys.argv.pop(1).split(",")
    for one in BUGS:
        if one.__name__ in chosen:
            one()
    start.main()
