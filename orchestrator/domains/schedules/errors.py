"""What can be wrong with a schedule."""

import shlex
from collections.abc import Iterable
from difflib import get_close_matches

from orchestrator.kernel.errors import ConflictError, InvalidConfigError, NotFoundError, UsageError


class BadCronError(InvalidConfigError):
    """The expression can't be read, or never comes."""

    code = "bad_cron"

    def __init__(self, text: str, why: str, hint: str = "") -> None:
        super().__init__(
            f"'{text}' is not a schedule: {why}",
            hint=hint or "Five fields: minute hour day month weekday, such as '30 2 * * mon-fri'; or @daily.",
            cron=text,
        )


class BadIntervalError(InvalidConfigError):
    """The interval can't be read, or is too short or too long."""

    code = "bad_interval"

    def __init__(self, text: str) -> None:
        super().__init__(
            f"'{text}' is not an interval that can be kept.",
            hint="Write it like 15m, 2h or 1h30m: whole minutes, at least one, at most 30 days.",
        )


class UnknownZoneError(InvalidConfigError):
    """No such time zone."""

    code = "unknown_zone"

    def __init__(self, zone: str, known: Iterable[str]) -> None:
        by_lower = {name.lower(): name for name in known}
        by_city = {name.rpartition("/")[2]: full for name, full in by_lower.items()}
        asked = zone.strip().lower().replace(" ", "_")
        found = by_city.get(asked) or next(
            (by_lower[near] for near in get_close_matches(asked, by_lower, n=1, cutoff=0.6)), None
        )
        super().__init__(
            f"There is no time zone '{zone}'.",
            hint=f"Did you mean '{found}'?" if found else "Use an IANA name: Europe/Berlin, America/New_York, UTC.",
            zone=zone,
        )


class BadBlackoutError(InvalidConfigError):
    """A blackout window can't be read, or the windows leave no time."""

    code = "bad_blackout"

    def __init__(self, text: str, why: str) -> None:
        super().__init__(
            f"The blackout '{text}' can't be used: {why}.",
            hint="Write weekdays and a time range: 'mon-fri 08:00-18:00', 'sat,sun 00:00-24:00', '22:00-06:00'.",
        )


class BadPolicyError(InvalidConfigError):
    """The policy contradicts itself or the schedule."""

    code = "bad_policy"


class NeverFiresError(InvalidConfigError):
    """Every slot to come lies in a blackout window."""

    code = "never_fires"

    def __init__(self) -> None:
        super().__init__(
            "This schedule would never start anything: every slot lies in a blackout window.",
            hint="Move the schedule or shorten the blackout.",
        )


class UnknownEventError(InvalidConfigError):
    """Nothing emits such an event."""

    code = "unknown_event"

    def __init__(self, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = get_close_matches(name, names, n=1, cutoff=0.5)
        super().__init__(
            f"There is no event '{name}'.",
            hint=f"Did you mean '{near[0]}'?" if near else f"There are: {', '.join(names)}.",
        )


class ChainCycleError(ConflictError):
    """Integrations that start each other would never stop."""

    code = "chain_cycle"

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__(
            f"These would start each other for ever: {' → '.join(names)}.", hint="Leave one of them to a clock."
        )


class UnknownScheduleError(NotFoundError):
    """No schedule has this id or beginning of one, and no integration of this name has any."""

    code = "unknown_schedule"

    def __init__(self, wanted: str, names: Iterable[str], *, unscheduled: str | None = None) -> None:
        if unscheduled is not None:
            add = f"orchestrator schedules add {shlex.quote(unscheduled)} --every 1h"
            super().__init__(f"'{unscheduled}' has no schedule.", hint=f"Add one: {add}")
            return
        by_lower = {name.lower(): name for name in names}
        near = get_close_matches(wanted.lower(), by_lower, n=1, cutoff=0.5)
        super().__init__(
            f"There is no schedule '{wanted}'.",
            hint=f"Did you mean '{by_lower[near[0]]}'?" if near else "See them: orchestrator schedules list.",
        )


class AmbiguousScheduleError(UsageError):
    """Several schedules fit."""

    code = "ambiguous_schedule"

    def __init__(self, wanted: str, ids: tuple[str, ...]) -> None:
        super().__init__(f"'{wanted}' has {len(ids)} schedules.", hint=f"Say which: {', '.join(ids)}.")
