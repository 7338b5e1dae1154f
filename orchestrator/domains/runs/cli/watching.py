"""Showing a run while it goes on: a live table in a terminal, plain lines elsewhere, nothing when quiet."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from types import FrameType
from typing import TYPE_CHECKING, Protocol

from orchestrator.domains.runs.types import PHASES, Progress, StreamCount
from orchestrator.kernel import console

if TYPE_CHECKING:
    from rich.table import Table

_PLAIN_EVERY = 2.0  # seconds between lines where there is no terminal
_PLAIN_AT_LEAST = 30.0  # seconds between them where nothing comes


class Watcher(Protocol):
    """Takes every step of a run."""

    def __call__(self, progress: Progress) -> None:
        """One step."""


@dataclass
class Stop:
    """Ctrl-C and SIGTERM as an event; `code` is the exit code they ask for."""

    event: threading.Event = field(default_factory=threading.Event)
    code: int = 0


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Turn the first Ctrl-C or SIGTERM into an orderly end; a second one interrupts at once."""
    stop = Stop()

    def asked(number: int, _frame: FrameType | None) -> None:
        if stop.event.is_set():
            raise KeyboardInterrupt
        stop.code = 128 + number
        stop.event.set()
        console.say("Stopping: ending every process, keeping what is committed …")

    before = {number: signal.signal(number, asked) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def watching(*, quiet: bool) -> Iterator[Watcher]:
    """What to tell a run's progress to."""
    if quiet:
        yield lambda _: None
    elif sys.stderr.isatty():
        with _live() as watcher:
            yield watcher
    else:
        with _plain() as watcher:
            yield watcher


@contextmanager
def _live() -> Iterator[Watcher]:
    from rich.live import Live

    board = _Board()
    with Live(get_renderable=board.table, console=console.err(), refresh_per_second=4, transient=True):
        yield board


class _Board:
    """The live table: which phase, how long, and a row a stream."""

    def __init__(self) -> None:
        self._latest = Progress(phase=PHASES[0])
        self._started = monotonic()

    def __call__(self, progress: Progress) -> None:
        self._latest = progress

    def table(self) -> "Table":
        """The table as of now; drawn from another thread, four times a second."""
        from rich.spinner import Spinner
        from rich.table import Table

        latest = self._latest
        outer = Table.grid(padding=(0, 1))
        done = PHASES.index(latest.phase)
        marks = [f"[green]✓[/] [dim]{name}[/]" for name in PHASES[:done]]
        outer.add_row(*marks, Spinner("dots", text=latest.phase), f"[dim]{monotonic() - self._started:.0f} s[/]")
        if not latest.counts:
            return outer
        whole = Table.grid()
        whole.add_row(outer)
        whole.add_row(count_table(latest.counts))
        return whole


def count_table(counts: tuple[StreamCount, ...]) -> "Table":
    """Rows by stream, read and written so far."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("stream")
    for name in ("read", "written"):
        table.add_column(name, justify="right")
    for count in counts:
        table.add_row(console.escaped(count.stream), f"{count.read:,}", f"{count.written:,}")
    return table


def show_counts(counts: tuple[StreamCount, ...]) -> None:
    """In the end: all that is known of each stream, – where it isn't."""
    from rich.filesize import decimal

    columns = ("stream", "read", "written", "deleted", "rejected", "bytes", "seconds", "per second")
    rows = [
        (
            count.stream,
            count.read,
            count.written,
            count.deleted,
            count.rejected,
            None if count.bytes is None else decimal(count.bytes),
            count.seconds,
            None if count.rate is None else round(count.rate),
        )
        for count in counts
    ]
    console.show_table(columns, rows, empty="", numeric=columns[1:], whole=["bytes"], spare=("per second", "seconds"))


@contextmanager
def _plain() -> Iterator[Watcher]:
    lines = _Lines()
    over = threading.Event()

    def tick() -> None:
        while not over.wait(_PLAIN_EVERY):
            lines.tick()

    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    try:
        yield lines
    finally:
        over.set()
        thread.join()


class _Lines:
    """The same for logs: a line when the phase changes, every two seconds when something came, else twice a minute."""

    def __init__(self) -> None:
        self._latest: Progress | None = None
        self._said: Progress | None = None
        self._started = self._said_at = monotonic()

    def __call__(self, progress: Progress) -> None:
        new_phase = self._latest is None or self._latest.phase != progress.phase
        self._latest = progress
        if new_phase:
            self.print()

    def tick(self) -> None:
        """Print where something came since the last line, or that one is long ago."""
        if self._latest != self._said or monotonic() - self._said_at >= _PLAIN_AT_LEAST:
            self.print()

    def print(self) -> None:
        """One line: seconds, phase, streams."""
        self._said, self._said_at = self._latest, monotonic()
        if self._latest is not None:
            streams = ", ".join(f"{one.stream} {one.read:,}/{one.written:,}" for one in self._latest.counts)
            console.say(
                f"[{monotonic() - self._started:5.1f} s] {self._latest.phase}" + (f": {streams}" if streams else "")
            )
