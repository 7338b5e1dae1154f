"""Watch one run's output go by and keep what its end is judged by: counts, verdict, and the words of the failure."""

import re
from collections import Counter, deque
from collections.abc import Mapping

from orchestrator.drivers.meltano.output import BlockCompleted, Level, LogLine, Metric, Output, Source

_KEPT = 50  # lines per source
_INVALID_STATE = "Received state is invalid"  # source: meltano/core/plugin/singer/target.py, BookmarkWriter
_EXCEPTION = re.compile(r"^[A-Za-z_][\w.]*(Error|Exception|Exit|Timeout|Refused|Denied|Failure)\b.*")
_FOR_MACHINES = "FAILURE: "  # the same once more as JSON; source: README of taps/tap-salesforce
_BAD = (Level.ERROR, Level.CRITICAL)


class Judge:
    """Sees every output once, in order."""

    def __init__(self) -> None:
        self.block: BlockCompleted | None = None
        self.invalid_states = 0
        self._counts: Counter[tuple[Source, str]] = Counter()
        self._lines: dict[Source, deque[LogLine]] = {source: deque(maxlen=_KEPT) for source in Source}

    def see(self, output: Output) -> None:
        """Take one output into account."""
        match output:
            case BlockCompleted():
                self.block = output
            case Metric(name="record_count", stream=str(stream), kind="counter"):
                self._counts[output.source, stream] += int(output.value)
            case LogLine():
                self._lines[output.source].append(output)
                self.invalid_states += output.message.startswith(_INVALID_STATE)
            case _:
                pass  # other metrics don't judge anything

    def counts(self, source: Source) -> Mapping[str, int]:
        """Records per stream, as that side counted them."""
        return {stream: count for (side, stream), count in self._counts.items() if side is source}

    def failed_side(self) -> Source | None:
        """Whose exit code ended the run; None where Meltano says neither."""
        if self.block is None:
            return None
        if self.block.loader_code is not None:
            return Source.TARGET
        return Source.TAP if self.block.extractor_code is not None else None

    def lines(self, source: Source) -> tuple[str, ...]:
        """The last things it said."""
        return tuple(line.message for line in self._lines[source])

    def error(self) -> str | None:
        """The one line that tells a person best what went wrong; None where nobody said anything."""
        side = self.failed_side()
        order = [side] if side else []
        order += [source for source in Source if source is not side]
        return next((line for source in order if (line := self._worst(source))), None)

    def _worst(self, source: Source) -> str | None:
        lines = [line for line in self._lines[source] if not line.message.startswith(_FOR_MACHINES)]
        bad = [line.message for line in lines if line.level in _BAD]
        raised = [line.message for line in lines if _EXCEPTION.match(line.message)]
        if source is Source.MELTANO:
            return bad[0] if bad else None
        said = [line.message for line in lines if line.level is not Level.DEBUG]
        return next((group[-1] for group in (raised, bad, said) if group), None)
