"""Meltano without processes: says and does what a test's script tells it to, through the real driver's signatures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestrator.drivers.meltano.errors import DiscoveryError
from orchestrator.drivers.meltano.judge import Judge
from orchestrator.drivers.meltano.output import BlockCompleted, Level, LogLine, Metric, Output, Source
from orchestrator.drivers.meltano.process import Stopped
from orchestrator.drivers.meltano.runner import Exit, FirstRecord
from orchestrator.drivers.meltano.values import Project
from orchestrator.drivers.plugin_store import Recipe, Status

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def counted(source: Source, stream: str, records: int, name: str = "record_count") -> Metric:
    """A side's counter, as the SDK logs it."""
    return Metric(at=NOW, source=source, name=name, kind="counter", value=records, stream=stream)


def said(message: str, *, level: Level = Level.INFO, source: Source = Source.TAP) -> LogLine:
    """A line of a log."""
    return LogLine(at=NOW, source=source, level=level, message=message)


def singer_state(**bookmarks: Any) -> dict[str, Any]:
    """What Meltano hands to its state backend."""
    return {"completed": {"singer_state": {"bookmarks": bookmarks}}}


@dataclass
class FakeMeltano:
    """A script of outputs and states; afterwards, what it was given.

    act:  called in the middle of a run with the callbacks' owner, to cancel, fail or wait
    """

    outputs: list[Output] = field(default_factory=list)
    states: list[dict[str, Any]] = field(default_factory=list)
    code: int = 0
    stopped: Stopped | None = None
    block: BlockCompleted | None = None
    error: str | None = None
    storage_full: bool = False
    invalid_states: int = 0
    unredacted: int = 0
    notes: str | None = None
    act: Callable[["FakeMeltano"], None] | None = None
    catalog: dict[str, Any] | None = None
    first_stream: str | None = "users"
    ran: list[Project] = field(default_factory=list)
    began_with: dict[str, Any] | None = None
    cancel: Any = None
    on_output: Any = None
    save_state: Any = None
    runs_root: Path = Path("/nonexistent")

    def run(
        self,
        plan: Project,
        *,
        on_output,
        load_state,
        save_state,
        fresh_token=None,
        timeout=None,
        cancel=None,
        lease=None,
        run_id=None,
    ):
        self.ran.append(plan)
        self.cancel, self.on_output, self.save_state = cancel, on_output, save_state
        self.began_with = load_state("state")
        callback_error = None
        for output in self.outputs:
            on_output(output)
        try:
            for state in self.states:
                save_state("state", state)
        except Exception as error:  # noqa: BLE001 - like the real driver, which keeps the first failure
            callback_error = error
        if self.act:
            self.act(self)
        stopped = self.stopped or (Stopped.CANCELLED if cancel is not None and cancel.is_set() else None)
        metrics = [output for output in self.outputs if isinstance(output, Metric)]
        return self._exit(
            code=1 if callback_error else self.code,
            stopped=stopped,
            block=self.block,
            read={m.stream: int(m.value) for m in metrics if m.source is Source.TAP},
            written={m.stream: int(m.value) for m in metrics if m.source is Source.TARGET},
            callback_error=callback_error,
        )

    def _exit(self, **seen: Any) -> Exit:
        judge = Judge()
        for output in (*self.outputs, *([self.block] if self.block else [])):
            judge.see(output)
        rest = {"side": judge.failed_side(), "complaints": judge.complaints()}
        quiet = {"block": None, "read": {}, "written": {}, "callback_error": None}
        rest |= {
            "invalid_states": self.invalid_states,
            "lines": (),
            "unredacted": self.unredacted,
            "seconds": 1.0,
            "storage_full": self.storage_full,
            "notes": self.notes,
        }
        return Exit(**{**quiet, **rest, "error": self.error, **seen})

    def discover(self, extractor, *, on_output, fresh_token=None, timeout=None, cancel=None):
        if self.catalog is None:
            raise DiscoveryError(self.error or "no catalog")
        return self.catalog

    def read_first_record(self, plan, *, on_output, fresh_token=None, timeout=None, cancel=None):
        self.ran.append(plan)
        return FirstRecord(stream=self.first_stream, exit=self._exit(code=self.code, stopped=self.stopped))

    def reap(self) -> int:
        return 0


@dataclass
class FakePlugins:
    """Environments that are always there."""

    kept: tuple[str, ...] | None = None

    def program(self, plugin: Recipe) -> Path:
        return Path("/bin/true")

    def collect(self, current: Sequence[Recipe]) -> int:
        self.kept = tuple(one.label for one in current)
        return 0

    def status(self, plugins: Sequence[Recipe]) -> tuple[Status, ...]:
        return tuple(
            Status(plugin=one.label, kind=one.kind, key="k", ready=True, path=Path("/nonexistent")) for one in plugins
        )
