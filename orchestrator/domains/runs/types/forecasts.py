"""What a sync would do, and what earlier ones did."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What an earlier run moved of a stream; `whole` where it read it from the start, having nothing to go on from."""

    stream: str
    read: int
    seconds: float
    whole: bool
    api_calls: int | None = None


class Unknown(StrEnum):
    """Why an estimate can't be given: no run of the same nature has succeeded yet, or none of them counted it."""

    NO_RUN = "no_run_yet"
    NOT_COUNTED = "not_counted"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamForecast:
    """What a sync would do with one stream.

    whole:    it is read from the start
    position: where it stands, for people
    rows, seconds, api_calls: as earlier runs of the same nature had it; None where none did
    samples:  how many those were
    """

    stream: str
    mode: str
    whole: bool
    position: str
    rows: int | None
    seconds: float | None
    api_calls: int | None
    samples: int

    @property
    def api_calls_unknown(self) -> Unknown | None:
        """Why nobody knows how many requests it will take; None where that is known."""
        if self.api_calls is not None:
            return None
        return Unknown.NOT_COUNTED if self.samples else Unknown.NO_RUN


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a sync would do if it were started now; nothing was started to know it.

    encoding:       of the batches between the plugins; None: RECORD messages
    sign_in:        how the credential stands, in one word; `sign_in_problem` says why where it doesn't work
    needed_scopes:  what the connector asks for, in that way of signing in; None where that knows no scopes
    granted_scopes: what the provider said it grants; None where it says nothing
    under_way:      the run that is active already
    """

    streams: tuple[StreamForecast, ...]
    encoding: str | None
    sign_in: str
    sign_in_problem: str | None
    needed_scopes: tuple[str, ...] | None
    granted_scopes: tuple[str, ...] | None
    under_way: str | None

    @property
    def missing_scopes(self) -> tuple[str, ...]:
        """What is needed and not granted, as far as both are known."""
        if self.needed_scopes is None or self.granted_scopes is None:
            return ()
        return tuple(scope for scope in self.needed_scopes if scope not in self.granted_scopes)
