"""The slots of a schedule: every moment it names, in UTC, whatever the clocks of its zone do.

Where clocks are moved, one rule decides: **if the expression shows the same pattern on clocks moved by so much, its
beat goes on; otherwise every slot of the clock on the wall comes once** – one that is skipped right after the gap,
one that is repeated the first time.

| expression, clocks moved by an hour | forward at 02:00 | back at 03:00 |
|---|---|---|
| `30 2 * * *`    once a day         | 03:00                             | the first 02:30 |
| `*/15 2 * * *`  in one hour        | once, 03:00                       | the first 02:00 to 02:45 |
| `0 */2 * * *`   every other hour   | 00:00, 03:00, 04:00               | 00:00, the first 02:00, 04:00 |
| `*/15 * * * *`  the same each hour | 01:45, 03:00: a quarter as always | both hours: a quarter as always |
| `30 * * * *`    the same each hour | 01:30, 03:30: an hour as always   | both 02:30: an hour as always |

Half an hour (Lord Howe) leaves `*/15` as it is and not `15 * * * *`: 01:15, 02:30 for the skipped 02:15, 03:15. Two
hours (Troll) leave `0 */2`. Slots that fall into one gap come together, once. Intervals know no clocks on walls.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from orchestrator.domains.schedules.rules import clocks
from orchestrator.domains.schedules.rules.cron import Cron, parse
from orchestrator.domains.schedules.types import Timing

_NEAR = timedelta(hours=2)


class Slots(Protocol):
    """The moments a timing names; aware, in UTC."""

    def walk(self, after: datetime) -> Iterator[datetime]:
        """Those later than `after`, in order."""
        ...

    def count(self, after: datetime, until: datetime) -> int:
        """How many are later than `after` and not later than `until`, without walking through them."""
        ...


@dataclass(frozen=True, slots=True)
class CronSlots:
    """Slots of an expression in a zone."""

    cron: Cron
    zone: ZoneInfo

    def walk(self, after: datetime) -> Iterator[datetime]:
        """Those later than `after`, in order."""
        for caught_up, begin, end, offset in self._pieces(_plain(after)):
            if caught_up is not None:
                yield caught_up.replace(tzinfo=UTC)
            for moment in self.cron.between(begin, end):
                slot = moment - offset
                if slot != caught_up:
                    yield slot.replace(tzinfo=UTC)

    def count(self, after: datetime, until: datetime) -> int:
        """How many are later than `after` and not later than `until`; a year of minutes is no work."""
        last, total = _plain(until) + timedelta(microseconds=1), 0
        for caught_up, begin, end, offset in self._pieces(_plain(after)):
            if min(begin - offset, caught_up or begin - offset) >= last:
                break
            total += self.cron.count(begin, min(end, last + offset))
            if caught_up is not None and next(self.cron.between(begin, begin + timedelta(minutes=1)), None) != begin:
                total += 1
        return total

    def _pieces(self, after: datetime) -> Iterator[tuple[datetime | None, datetime, datetime, timedelta]]:
        """For each stretch: the slot that catches up with its gap; from when until when on the wall; the offset."""
        cursor = after + timedelta(microseconds=1)
        for part in clocks.stretches(self.zone, cursor):
            begin, caught_up = max(cursor, part.begin) + part.offset, None
            if part.shift and not self.cron.unmoved_by(part.shift):
                wall = part.begin + part.offset
                if part.shift < timedelta(0):
                    begin = max(begin, wall - part.shift)
                elif part.begin >= cursor and any(True for _ in self.cron.between(wall - part.shift, wall)):
                    caught_up = part.begin
            yield caught_up, begin, part.end + part.offset, part.offset
            cursor = part.end


@dataclass(frozen=True, slots=True)
class EverySlots:
    """Slots at an interval from an anchor, in both directions."""

    every: timedelta
    anchor: datetime

    def walk(self, after: datetime) -> Iterator[datetime]:
        """Those later than `after`, in order."""
        number = self._number(after)
        while True:
            number += 1
            yield self.anchor + number * self.every

    def count(self, after: datetime, until: datetime) -> int:
        """How many are later than `after` and not later than `until`."""
        return max(0, self._number(until) - self._number(after))

    def _number(self, moment: datetime) -> int:
        return (moment - self.anchor) // self.every


def slots(timing: Timing) -> Slots | None:
    """The slots of a timing; None where no clock says when. Raises BadCronError, UnknownZoneError."""
    if timing.cron is not None:
        return CronSlots(parse(timing.cron), clocks.zone(timing.zone))
    if timing.every is not None:
        return EverySlots(timing.every, timing.anchor or datetime(2000, 1, 1, tzinfo=UTC))
    return None


def first(of: Slots, after: datetime) -> datetime:
    """The first slot later than `after`."""
    return next(of.walk(after))


def newest(of: Slots, after: datetime, until: datetime, most: int) -> list[datetime]:
    """The newest slots later than `after` and not later than `until`, at most so many, in order."""
    back = _NEAR
    while True:
        begin = max(after, until - back)
        found: list[datetime] = []
        for slot in of.walk(begin):
            if slot > until:
                break
            found.append(slot)
        if len(found) >= most or begin == after:
            return found[-most:]
        back *= 4


def _plain(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)
