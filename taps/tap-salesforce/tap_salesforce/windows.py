"""Cuts time into windows of a bounded number of rows, by asking Salesforce to count.

Each cut costs one COUNT() query (the other half follows by subtraction), so an evenly filled stream costs
about one per window; rows that sit close together cost up to two more per halving, at most some fifty per
cluster. Windows come in order and are planned as they are needed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tap_salesforce.soql import Span

BEGINNING = datetime(1999, 1, 1, tzinfo=UTC)  # Salesforce has no older stamps; only for halving
_SECOND = timedelta(seconds=1)  # SystemModstamp's resolution: nothing can be cut finer
_UNCOUNTABLE = timedelta(hours=1)  # where even counting times out, windows are at least this long
MOST_WINDOWS = 40
_AIM = 0.8  # of the wanted rows, so that a slightly uneven window still fits

# Rows within [lower, upper), or None when Salesforce cannot say.
Count = Callable[[datetime | None, datetime | None], int | None]


@dataclass(frozen=True, slots=True)
class Window:
    """Rows with lower ≤ key < upper; everything before `closes` is out once they are.

    rows: as counted while planning; None if unknown
    """

    span: Span
    closes: datetime
    rows: int | None


@dataclass(slots=True)
class _Part:
    lower: datetime
    upper: datetime
    rows: int | None
    even: bool = True  # whether its rows seem evenly spread


def plan(
    key: str,
    lower: datetime | None,
    upper: datetime,
    *,
    size: int,
    count: Count,
    first_size: int | None = None,
    most: int = MOST_WINDOWS,
    open_end: bool = True,
) -> Iterator[Window]:
    """Windows of at most `size` rows (more only within one second) from `lower` on, in order.

    A stream of more than `most` such windows gets `most` larger ones: a crash then still costs that share of it
    only, and the number of requests stays bounded however many rows there are.
    The first of several has at most `first_size` rows, so that something is there soon.
    With an open end the last one has no upper bound: it takes in whatever is visible, also stamps slightly ahead of
    our clock.
    """
    first = min(lower or BEGINNING, upper)
    edge = _Edges(key, lower, upper, first, open_end=open_end)
    pending: _Part | None = None
    rows = count(lower, edge.upper(upper))
    size = max(size, (rows or 0) // most)
    soon = first_size is not None and first_size < size < (rows or 0)
    for leaf in _leaves(_Part(first, upper, rows), size, edge, count, first_size=first_size if soon else None):
        if pending is None:
            pending = leaf
        elif pending.rows is not None and leaf.rows is not None and pending.rows + leaf.rows <= size:
            pending = _Part(pending.lower, leaf.upper, pending.rows + leaf.rows)
        else:
            yield edge.window(pending)
            pending = leaf
        if soon and pending.rows != 0:
            yield edge.window(pending)
            pending, soon = None, False
    if pending is not None:
        yield edge.window(pending)


class _Edges:
    """The outermost parts have open ends, unless one is wanted, so that nothing outside our idea of time is missed."""

    def __init__(self, key: str, lower: datetime | None, upper: datetime, first: datetime, *, open_end: bool) -> None:
        self._key, self._lower, self._first = key, lower, first
        self._open_at = upper if open_end else None

    def lower(self, moment: datetime) -> datetime | None:
        return self._lower if moment == self._first else moment

    def upper(self, moment: datetime) -> datetime | None:
        return None if moment == self._open_at else moment

    def window(self, part: _Part) -> Window:
        return Window(Span(self._key, self.lower(part.lower), self.upper(part.upper)), part.upper, part.rows)


def _leaves(whole: _Part, size: int, edge: _Edges, count: Count, *, first_size: int | None) -> Iterator[_Part]:
    stack, limit = [whole], first_size or size
    while stack:
        part = stack.pop()
        cut = _cut(part, limit)
        if cut is None:
            yield part
            limit = limit if part.rows == 0 else size
            continue
        left = _Part(part.lower, cut, count(edge.lower(part.lower), cut))
        right = _Part(cut, part.upper, _rest(part.rows, left.rows))
        left.even = right.even = _seems_even(part, left, limit)
        stack += [right, left]


def _cut(part: _Part, size: int) -> datetime | None:
    """Where to cut; None if the part is small enough or cannot be cut."""
    length = part.upper - part.lower
    if part.rows is None:
        return part.lower + _whole(length / 2) if length > _UNCOUNTABLE else None
    if part.rows <= size or length <= _SECOND:
        return None
    share = _share(part, size)
    return part.lower + max(_SECOND, min(_whole(length * share), length - _SECOND))


def _share(part: _Part, size: int) -> float:
    rows = part.rows or 1
    return size * _AIM / rows if part.even and rows > 2 * size else 0.5


def _seems_even(part: _Part, left: _Part, size: int) -> bool:
    """Whether the left part holds about what an even spread would give it."""
    if not part.rows or left.rows is None:
        return False
    expected = part.rows * _share(part, size)
    return expected / 2 <= left.rows <= expected * 1.25


def _rest(rows: int | None, left: int | None) -> int | None:
    return None if rows is None or left is None else max(0, rows - left)


def _whole(length: timedelta) -> timedelta:
    return timedelta(seconds=int(length.total_seconds()))
