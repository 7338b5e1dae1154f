"""What was seen of a finished run, before anybody judges it."""

from dataclasses import dataclass

from orchestrator.domains.runs.types import Origin, StreamCount


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was seen of a finished `meltano run`.

    exit_code:       the process's own; None where it was ended from outside
    side:            which side failed, as Meltano told; None where it told nothing
    stalled:         it was ended for having done nothing for long
    states:          how many STATE messages came through the loader and were committed
    invalid_states:  how many STATE messages of the loader nobody could read
    counted:         whether both plugins count their records
    storage_full:    no space was left in the run's directory
    complaints:      error lines, the latest last, redacted
    """

    exit_code: int | None
    side: Origin | None = None
    cancelled: bool = False
    timed_out: bool = False
    stalled: bool = False
    states: int = 0
    invalid_states: int = 0
    counted: bool = True
    storage_full: bool = False
    counts: tuple[StreamCount, ...] = ()
    complaints: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether both plugins count and came to their end, so that what was read and not written is lost."""
        return self.counted and self.exit_code == 0
