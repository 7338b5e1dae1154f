"""Watch one run's output go by and keep what its end is judged by: counts, verdict, and the words of the failure."""

import re
import signal
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import replace

from orchestrator.drivers.meltano.output import BlockCompleted, Level, LogLine, Metric, Output, Source

_KEPT = 50  # lines per source, and as many that say what is wrong
_STREAMS = 100_000  # counted at most; a plugin could invent them without end
_MOST = 2**53 - 1  # records of a stream; beyond, not every reader of JSON and no column can follow
_LAST_WORDS = 200  # characters
_INVALID_STATE = "Received state is invalid"  # source: meltano/core/plugin/singer/target.py, BookmarkWriter
_EXCEPTION = re.compile(r"^[A-Za-z_][\w.]*(Error|Exception|Exit|Timeout|Refused|Denied|Failure)\b.*")
_FOR_MACHINES = "FAILURE: "  # the same once more as JSON; source: README of taps/tap-salesforce
_TWO_VERDICTS = "Two ends of the run were reported; only one can be Meltano's."
_BROKEN_PIPE = re.compile(r"(BrokenPipe|ConnectionReset)Error\b")
_BAD = (Level.ERROR, Level.CRITICAL)
_NAMES = {Source.TAP: "The extractor", Source.TARGET: "The loader", Source.MELTANO: "Meltano"}


class Judge:
    """Sees every output once, in order."""

    def __init__(self) -> None:
        self.block: BlockCompleted | None = None
        self.invalid_states = 0
        self._counts: Counter[tuple[Source, str]] = Counter()
        self._lines: dict[Source, deque[LogLine]] = {source: deque(maxlen=_KEPT) for source in Source}
        self._bad: dict[Source, deque[LogLine]] = {source: deque(maxlen=_KEPT) for source in Source}

    def see(self, output: Output) -> None:
        """Take one output into account."""
        match output:
            case BlockCompleted():
                self.block = self._verdict(output)
            case Metric(name="record_count", stream=str(stream), kind="counter"):
                self._count((output.source, stream), int(output.value))
            case LogLine():
                self._lines[output.source].append(output)
                if output.level in _BAD or _EXCEPTION.match(output.message):
                    self._bad[output.source].append(output)  # whatever is said after it
                said_by_meltano = output.source is Source.MELTANO
                self.invalid_states += said_by_meltano and output.message.startswith(_INVALID_STATE)
            case _:
                pass  # other metrics don't judge anything

    def _verdict(self, block: BlockCompleted) -> BlockCompleted:
        """Meltano gives one; where two came, somebody else gave one of them, and neither is a success."""
        if self.block is None:
            return block
        worst = self.block if not self.block.success else block
        return replace(worst, success=False, error=worst.error or _TWO_VERDICTS)

    def _count(self, key: tuple[Source, str], records: int) -> None:
        if key in self._counts or len(self._counts) < _STREAMS:
            self._counts[key] = min(self._counts[key] + records, _MOST)

    def counts(self, source: Source) -> Mapping[str, int]:
        """Records per stream, as that side counted them."""
        return {stream: count for (side, stream), count in self._counts.items() if side is source}

    def failed_side(self) -> Source | None:
        """Whose end ended the run; None where nothing tells.

        Where both failed it is the tap: a loader chokes on the half line that a dying tap leaves. A loader that ends
        first is told by its code alone, or by Meltano's broken pipe, as that is the only pipe Meltano writes to.
        """
        if self.block is None:
            broken = any(_BROKEN_PIPE.match(line.message) for line in self._lines[Source.MELTANO])
            return Source.TARGET if broken else None
        if self.block.extractor_code is not None:
            return Source.TAP
        return Source.TARGET if self.block.loader_code is not None else None

    def lines(self, source: Source) -> tuple[str, ...]:
        """The last things it said."""
        return tuple(line.message for line in self._lines[source])

    def complaints(self) -> tuple[str, ...]:
        """What was said as an error, by the side that failed where that is known, in order."""
        side = self.failed_side()
        heard = Source if side is None else (side,)
        return tuple(line.message for source in heard for line in self._bad[source])

    def error(self, code: int = 0) -> str | None:
        """The one line that tells a person best what went wrong; None where nobody said anything.

        code:  how Meltano itself ended; 128 + n for signal n
        """
        side = self.failed_side()
        if killed := self._killed(side, code):
            return killed
        if side is not None:
            return self._worst(side) or self._last_words(side)
        found = (self._worst(source) or "" for source in Source)
        last = (self._said(source) or "" for source in (Source.TAP, Source.TARGET))
        return next(filter(None, (*found, *last)), None)

    def _killed(self, side: Source | None, code: int) -> str | None:
        """Whose process was ended from outside, and how; nobody who is killed says a word about it."""
        if side is None or self.block is None:
            number = _signal(code)
        else:
            ended = self.block.extractor_code if side is Source.TAP else self.block.loader_code
            number = _signal(ended or 0)
        if number is None:
            return None
        who = _NAMES[side or Source.MELTANO] if self.block else _NAMES[Source.MELTANO]
        return f"{who} was killed ({number.name}) while it worked."

    def _worst(self, source: Source) -> str | None:
        lines = [line for line in self._bad[source] if not line.message.startswith(_FOR_MACHINES)]
        bad = [line.message for line in lines if line.level in _BAD]
        raised = [line.message for line in lines if _EXCEPTION.match(line.message)]
        if source is Source.MELTANO:
            return bad[0] if bad else None
        return next((group[-1] for group in (raised, bad) if group), None)

    def _said(self, source: Source) -> str | None:
        """The last thing said that is meant for people."""
        said = [line.message for line in self._lines[source] if line.level is not Level.DEBUG]
        return said[-1] if said else None

    def _last_words(self, side: Source) -> str:
        """What to tell of a side that failed without an error."""
        said = self._said(side)
        ended = f"{_NAMES[side]} ended too early and didn't say why."
        return f"{ended} Its last words: {said[:_LAST_WORDS]}" if said else ended


def _signal(code: int) -> signal.Signals | None:
    """The signal behind an exit status, as Python (-9) or a shell (137) writes it."""
    number = -code if code < 0 else code - 128
    return signal.Signals(number) if number in set(signal.Signals) else None
