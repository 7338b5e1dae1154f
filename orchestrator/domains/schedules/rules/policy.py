"""Jitter, blackout windows, and whether a policy and a timing go together."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from itertools import islice, pairwise

from orchestrator.domains.schedules.errors import BadBlackoutError, BadPolicyError, NeverFiresError
from orchestrator.domains.schedules.rules import clocks
from orchestrator.domains.schedules.rules.slots import Slots, slots
from orchestrator.domains.schedules.types import Misfire, Policy, Timing

MOST_CAUGHT_UP = 100
LONGEST_JITTER = timedelta(hours=12)
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = 1440
_WEEK = 7 * _DAY
_WINDOW = re.compile(r"(?:(?P<days>[a-z,\- ]+?)\s+)?(?P<begin>\d{1,2}:\d\d)\s*-\s*(?P<end>\d{1,2}:\d\d)")
_CLOSE_ENOUGH = 20  # slots to look at for the shortest time between two
_TWO_WEEKS = 2 * _WEEK  # slots of the densest schedule within twice the longest blackout
_FAR = timedelta(days=45 * 366)


@dataclass(frozen=True, slots=True)
class Window:
    """A weekly blackout; minutes since Monday 00:00, the end beyond Sunday where it goes on into Monday."""

    begin: int
    end: int

    def covers(self, minute: int) -> bool:
        """Whether this minute of the week lies in it."""
        return self.begin <= minute < self.end or self.begin <= minute + _WEEK < self.end


@lru_cache(maxsize=10_000)
def windows(blackout: tuple[str, ...]) -> tuple[Window, ...]:
    """Read blackout windows. Raises BadBlackoutError."""
    found = tuple(window for text in blackout for window in _windows(text))
    if found and all(any(window.covers(minute) for window in found) for minute in range(_WEEK)):
        raise BadBlackoutError(", ".join(blackout), "nothing of the week is left")
    return found


def _windows(text: str) -> list[Window]:
    match = _WINDOW.fullmatch(text.strip().lower())
    if match is None:
        raise BadBlackoutError(text, "it is not weekdays and a range of times")
    begin, end = _time(match["begin"], text), _time(match["end"], text)
    if begin == end:
        raise BadBlackoutError(text, "it begins when it ends")
    length = (end - begin) % _DAY or _DAY
    return [Window(day * _DAY + begin, day * _DAY + begin + length) for day in _weekdays(match["days"] or "", text)]


def _time(text: str, whole: str) -> int:
    hour, minute = (int(part) for part in text.split(":"))
    if minute > 59 or hour * 60 + minute > _DAY:  # noqa: PLR2004 - minutes of an hour
        raise BadBlackoutError(whole, f"{text} is no time of the day")
    return hour * 60 + minute


def _weekdays(text: str, whole: str) -> list[int]:
    found: set[int] = set()
    for item in text.replace(" ", "").split(","):
        first, _, last = item.partition("-")
        if not item:
            found.update(range(7))
        elif first not in _DAYS or (last or first) not in _DAYS:
            raise BadBlackoutError(whole, f"'{item}' is no weekday")
        else:
            begin, end = _DAYS.index(first), _DAYS.index(last or first)
            found.update((begin + step) % 7 for step in range((end - begin) % 7 + 1))
    return sorted(found)


def blocked(policy: Policy, zone: str, moment: datetime) -> bool:
    """Whether a blackout window is open then."""
    if not policy.blackout:
        return False
    wall = moment.astimezone(clocks.zone(zone))
    minute = wall.weekday() * _DAY + wall.hour * 60 + wall.minute
    return any(window.covers(minute) for window in windows(policy.blackout))


def delayed(schedule_id: str, policy: Policy, slot: datetime) -> datetime:
    """When a slot starts, its jitter added: the same for the same schedule and slot, whoever asks and how often."""
    seconds = int(policy.jitter.total_seconds())
    if not seconds:
        return slot
    said = blake2b(f"{schedule_id} {int(slot.timestamp())}".encode(), digest_size=8).digest()
    return slot + timedelta(seconds=int.from_bytes(said) % (seconds + 1))


def check(timing: Timing, policy: Policy, now: datetime) -> None:
    """Refuse what contradicts itself. Raises one of this domain's InvalidConfigErrors, each saying what to change."""
    of = slots(timing)
    clocks.zone(timing.zone)
    windows(policy.blackout)
    _check_catch_up(timing, policy)
    if policy.jitter and of is None:
        raise BadPolicyError("Only schedules by the clock can have a jitter.", hint="Leave out --jitter.")
    if of is not None:
        _check_jitter(of, policy, now)
        _check_blackout(of, timing, policy, now)


def _check_catch_up(timing: Timing, policy: Policy) -> None:
    if policy.misfire is Misfire.CATCH_UP and not 1 <= policy.catch_up <= MOST_CAUGHT_UP:
        raise BadPolicyError(
            f"{policy.catch_up:,} runs can't be caught up.",
            hint=f"Between 1 and {MOST_CAUGHT_UP}. One sync reads all changes since the last, so run_once mostly does.",
        )
    if policy.misfire is not Misfire.RUN_ONCE and not timing.by_clock:
        raise BadPolicyError("What waits for something to happen misses nothing.", hint="Leave out --misfire.")


def _check_jitter(of: Slots, policy: Policy, now: datetime) -> None:
    if not timedelta(0) <= policy.jitter <= LONGEST_JITTER:
        raise BadPolicyError("The jitter is too long.", hint="At most 12h.")
    if policy.jitter and policy.jitter >= min(b - a for a, b in pairwise(islice(of.walk(now), _CLOSE_ENOUGH))):
        raise BadPolicyError(
            "The jitter is as long as the time between two slots.", hint="Make it shorter than that, or leave it out."
        )


def _check_blackout(of: Slots, timing: Timing, policy: Policy, now: datetime) -> None:
    if not policy.blackout:
        return
    for slot in islice(of.walk(now), _TWO_WEEKS):
        if not blocked(policy, timing.zone, slot):
            return
        if slot - now > _FAR:
            break
    raise NeverFiresError
