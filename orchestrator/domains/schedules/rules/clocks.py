"""Time zones, and the moments at which their clocks are moved."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from orchestrator.domains.schedules.errors import UnknownZoneError

_STEP = timedelta(hours=12)  # no zone moves its clocks there and back within so little
_LOOK_BACK = timedelta(days=2)  # no clock was ever moved by more than a day
_YEARS = 100  # a 29 February that is a Monday is at most forty years away
_OF_THE_MACHINE = {"localtime", "Factory"}


@lru_cache(maxsize=1000)
def zone(name: str) -> ZoneInfo:
    """The zone of this name. Raises UnknownZoneError."""
    try:
        found = ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        found = None
    if found is None or name in _OF_THE_MACHINE:
        raise UnknownZoneError(name, available_timezones() - _OF_THE_MACHINE)
    return found


@dataclass(frozen=True, slots=True)
class Stretch:
    """Time during which a zone's clocks go on undisturbed, in UTC without tzinfo.

    begin:   when they were last moved, or long ago
    end:     when they are moved next, or the end of the year
    offset:  what they show more than UTC
    shift:   by how much they were moved at `begin`: forward is positive
    """

    begin: datetime
    end: datetime
    offset: timedelta
    shift: timedelta


def stretches(of: ZoneInfo, start: datetime) -> Iterator[Stretch]:
    """The stretches from the one that `start` (UTC without tzinfo) is in, one after another, for a hundred years."""
    begin = start - _LOOK_BACK
    offset, shift = _offset(of, begin), timedelta(0)
    for year in range(begin.year, min(start.year + _YEARS, 9990)):
        for at, after in _changes(of, year):
            if at > begin:
                if at > start:
                    yield Stretch(begin, at, offset, shift)
                begin, offset, shift = at, after, after - offset
        yield Stretch(begin, datetime(year + 1, 1, 1), offset, shift)  # noqa: DTZ001 - UTC


@lru_cache(maxsize=10_000)
def _changes(of: ZoneInfo, year: int) -> tuple[tuple[datetime, timedelta], ...]:
    """When the clocks are moved in a year, in UTC without tzinfo, and what they show more than UTC from then on."""
    found = []
    at, last = datetime(year, 1, 1), datetime(year + 1, 1, 1)  # noqa: DTZ001 - UTC
    before = _offset(of, at)
    while at < last:
        at += _STEP
        after = _offset(of, at)
        if after != before:
            found.append((_exactly(of, at - _STEP, at), after))
        before = after
    return tuple(found)


def _exactly(of: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """The second of the change between the two."""
    before = _offset(of, low)
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        low, high = (middle, high) if _offset(of, middle) == before else (low, middle)
    return high


def _offset(of: ZoneInfo, moment: datetime) -> timedelta:
    return moment.replace(tzinfo=UTC).astimezone(of).utcoffset() or timedelta(0)
