"""Schedules as lines for other schedulers, which then call the command line: crontab(5) and systemd.timer(5).

What they can't express is said in a comment, never left out silently.
source: crontab(5) of cronie ("CRON_TZ", "Percent-signs", environment settings), systemd.time(7) ("Calendar events"),
systemd.service(5) ("Command lines"), systemd.exec(5) ("Environment=")
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta
from types import MappingProxyType

from orchestrator.domains.schedules.rules.cron import DAY, Cron, parse
from orchestrator.domains.schedules.rules.words import described
from orchestrator.domains.schedules.types import Misfire, Schedule
from orchestrator.kernel.printable import cleaned

_WEEKDAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
_ALWAYS = (range(24), range(1, 32), range(1, 13), range(7))


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """One schedule for another scheduler. lines: empty where it can't be expressed; notes say what got lost."""

    schedule: Schedule
    title: str
    lines: tuple[str, ...]
    notes: tuple[str, ...]


def _call(schedule: Schedule, program: str) -> list[str]:
    streams = [word for name in schedule.streams or () for word in ("--stream", name)]
    return [program, "sync", schedule.integration_id, "--quiet", *streams]


def _cron(schedule: Schedule) -> tuple[Cron | None, str, str]:
    """The expression, its zone, and why there is none."""
    timing = schedule.timing
    if timing.cron is not None:
        return parse(timing.cron), timing.zone, ""
    if timing.every is None or timing.anchor is None:
        return None, "", "It starts when something happens, which no clock knows."
    minutes = timing.every // timedelta(minutes=1)
    if DAY % minutes:
        return None, "", f"Its interval of {minutes} minutes doesn't divide a day."
    anchor = timing.anchor.astimezone(UTC)
    first = (anchor.hour * 60 + anchor.minute) % minutes
    times = range(first, DAY, minutes)
    hours, of_hour = sorted({time // 60 for time in times}), sorted({time % 60 for time in times})
    if len(hours) * len(of_hour) != len(times):
        return None, "", f"Its interval of {minutes} minutes doesn't fit the hours of a day."
    return parse(f"{_numbers(of_hour)} {_numbers(hours, _ALWAYS[0])} * * *"), "UTC", ""


def _numbers(values: Sequence[int], every: range = range(0)) -> str:
    return "*" if list(values) == list(every) else ",".join(map(str, values))


def _losses(schedule: Schedule, *, jitter: bool, late: bool) -> list[str]:
    """What the other side can't do. jitter, late: whether it can delay starts, and make up for missed ones."""
    policy, found = schedule.policy, []
    if policy.blackout:
        found.append(f"No blackout: {', '.join(policy.blackout)} ({schedule.timing.zone}) is not kept.")
    if policy.jitter and not jitter:
        found.append(f"No jitter: it starts on the minute, not up to {int(policy.jitter.total_seconds())} s later.")
    if schedule.timing.by_clock and policy.misfire is not Misfire.SKIP and not late:
        found.append("Missed starts are not made up for.")
    if policy.misfire is Misfire.CATCH_UP and late:
        found.append("Missed starts are made up for once, not one by one.")
    return found


def crontab(schedule: Schedule, *, name: str, after: str = "", program: str = "orchestrator") -> Exported:
    """A line of a crontab, under the CRON_TZ that it needs."""
    cron, zone, why = _cron(schedule)
    title = f"{name}: {described(schedule.timing, after=after)}"
    if cron is None:
        return Exported(schedule=schedule, title=cleaned(title), lines=(), notes=(f"Left out. {why}",))
    call = shlex.join(_call(schedule, program)).replace("%", r"\%")  # a percent sign would end the command
    notes = _losses(schedule, jitter=False, late=False)
    if schedule.paused_at is not None:
        notes.append("It is paused here.")
    line = f"{cron.text} {call}"
    return Exported(
        schedule=schedule,
        title=cleaned(title),
        lines=(f"CRON_TZ={zone}", f"# {line}" if schedule.paused_at else line),
        notes=tuple(notes),
    )


def crontab_environment(variables: Mapping[str, str]) -> list[str]:
    """Lines that give the commands below them these variables. Values are taken as they are, between quotes if any."""
    quoted = {
        name: next((quote for quote in ('"', "'") if quote not in value), "") for name, value in variables.items()
    }
    return [f"{name}={quoted[name]}{value}{quoted[name]}" for name, value in variables.items()]


def systemd(
    schedule: Schedule,
    *,
    name: str,
    after: str = "",
    program: str = "orchestrator",
    variables: Mapping[str, str] = MappingProxyType({}),
) -> Exported:
    """A service and a timer, each with its file name before it. variables: what the service gets to work with."""
    cron, zone, why = _cron(schedule)
    title = cleaned(f"{name}: {described(schedule.timing, after=after)}")
    if cron is None:
        return Exported(schedule=schedule, title=title, lines=(), notes=(f"Left out. {why}",))
    unit = f"orchestrator-{schedule.id}"
    call = " ".join(_systemd_word(word) for word in _call(schedule, program))
    late = schedule.policy.misfire is not Misfire.SKIP
    jitter = int(schedule.policy.jitter.total_seconds())
    lines = [
        f"# {unit}.service",
        "[Unit]",
        f"Description=Sync {title.replace('%', '%%')}",
        "[Service]",
        "Type=oneshot",
        *(f"Environment={_systemd_word(f'{name}={value}', dollars=False)}" for name, value in variables.items()),
        f"ExecStart={call}",
        "",
        f"# {unit}.timer",
        "[Unit]",
        f"Description={title.replace('%', '%%')}",
        "[Timer]",
        *(f"OnCalendar={one} {zone}" for one in _calendar(cron)),
        f"Persistent={'true' if late else 'false'}",
        "AccuracySec=1s",
        *((f"RandomizedDelaySec={jitter}", "FixedRandomDelay=true") if jitter else ()),
        "[Install]",
        "WantedBy=timers.target",
    ]
    notes = _losses(schedule, jitter=True, late=late)
    if schedule.paused_at is not None:
        notes.append("It is paused here: don't enable the timer yet.")
    return Exported(schedule=schedule, title=title, lines=tuple(lines), notes=tuple(notes))


def _systemd_word(word: str, *, dollars: bool = True) -> str:
    """A word as systemd reads it; only in commands (`dollars`) are variables put into it."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    escaped = escaped.replace("$", "$$") if dollars else escaped
    plain = word and all(char.isalnum() or char in "/._-:@+=" for char in word)
    return escaped if plain else f'"{escaped}"'


def _calendar(cron: Cron) -> list[str]:
    """Calendar events; two where a fitting day of the month or a fitting weekday is enough, which they can't say."""
    hours = sorted({time // 60 for time in cron.times})
    minutes = sorted({time % 60 for time in cron.times})
    clock = f"{_numbers(hours, _ALWAYS[0])}:{_numbers(minutes, range(60))}:00"
    days, months = _numbers(sorted(cron.days), _ALWAYS[1]), _numbers(sorted(cron.months), _ALWAYS[2])
    weekdays = "" if len(cron.weekdays) == len(_WEEKDAYS) else ",".join(_WEEKDAYS[day] for day in sorted(cron.weekdays))
    if cron.either:
        return [f"*-{months}-{days} {clock}", f"{weekdays} *-{months}-* {clock}"]
    return [f"{weekdays} *-{months}-{days} {clock}".strip()]
