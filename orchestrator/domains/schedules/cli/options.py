"""The options that say when, shared by the commands that take them, and what they mean."""

from collections.abc import Sequence
from typing import Annotated

import typer

from orchestrator.domains.identity import service as identity
from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.schedules import rules, service
from orchestrator.domains.schedules.types import Policy, Schedule, Timing
from orchestrator.drivers.bundle import Drivers
from orchestrator.drivers.inject import of_command

Wanted = Annotated[
    str, typer.Argument(metavar="SCHEDULE", help="Id or its beginning; or an integration that has only one.")
]
Cron = Annotated[
    str | None, typer.Option("--cron", help="Five fields, '30 2 * * mon-fri', or @hourly, @daily, @weekly, @monthly.")
]
Every = Annotated[str | None, typer.Option("--every", metavar="DURATION", help="An interval instead: 15m, 2h.")]
After = Annotated[
    str | None, typer.Option("--after", metavar="INTEGRATION", help="Whenever this other integration has succeeded.")
]
Event = Annotated[
    str | None, typer.Option("--on", metavar="EVENT", help=f"On an event about it: {', '.join(service.EVENTS)}.")
]
Zone = Annotated[str | None, typer.Option("--zone", help="Time zone: Europe/Berlin. UTC unless given.")]
Streams = Annotated[
    list[str] | None, typer.Option("--stream", "-s", help="Only this stream; can be given several times.")
]
Missed = Annotated[
    str | None,
    typer.Option("--misfire", metavar="POLICY", help="What happens to missed slots: run_once, skip, catch_up:5."),
]
Jitter = Annotated[
    str | None, typer.Option("--jitter", metavar="DURATION", help="Delay starts by up to this: 30s. 0 for none.")
]
Blackout = Annotated[
    list[str] | None,
    typer.Option(
        "--blackout", metavar="HOURS", help="Never start then: 'mon-fri 08:00-18:00'; may be repeated. '' for none."
    ),
]


def here(context: typer.Context) -> tuple[Drivers, str]:
    """The drivers, and the organization the command line works in."""
    drivers = of_command(context)
    return drivers, identity.find(drivers.db, drivers.settings.organization).org_id


def found(context: typer.Context, wanted: str) -> tuple[Drivers, Schedule]:
    """The drivers, and the schedule that is meant."""
    drivers, org_id = here(context)
    return drivers, service.find(drivers, org_id, wanted)


def timing_of(
    drivers: Drivers,
    org_id: str,
    *,
    cron: str | None,
    every: str | None,
    after: str | None,
    event: str | None,
    zone: str | None,
    old: Timing | None = None,
) -> Timing:
    """When, as the options say it; what they leave open stays as it was."""
    other = None if after is None else integrations.find(drivers, org_id, after).id
    kept = zone or (old.zone if old else "UTC")
    if old is not None and all(one is None for one in (cron, every, after, event)):
        return Timing(cron=old.cron, every=old.every, after=old.after, event=old.event, anchor=old.anchor, zone=kept)
    return rules.timing(cron=cron, every=every, after=other, event=event, zone=kept)


def policy_of(
    *, misfire: str | None, jitter: str | None, blackout: Sequence[str] | None, old: Policy | None = None
) -> Policy:
    """How slots are kept, as the options say it; what they leave open stays as it was."""
    kept = old or Policy()
    kind, most = (kept.misfire, kept.catch_up) if misfire is None else rules.misfire(misfire)
    return Policy(
        misfire=kind,
        catch_up=most,
        jitter=kept.jitter if jitter is None else rules.jitter(jitter),
        blackout=kept.blackout if blackout is None else tuple(one for one in blackout if one.strip()),
    )
