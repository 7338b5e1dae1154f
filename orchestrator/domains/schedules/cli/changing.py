"""`orchestrator schedules add, edit, pause, resume, delete`."""

import shlex
from typing import Annotated

import typer

from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.schedules import service
from orchestrator.domains.schedules.cli import options, showing
from orchestrator.domains.schedules.types import Schedule
from orchestrator.drivers.bundle import Drivers
from orchestrator.kernel import console
from orchestrator.kernel.console import Json
from orchestrator.kernel.errors import UsageError


def add(
    context: typer.Context,
    integration: Annotated[str, typer.Argument(metavar="INTEGRATION", help="Name, id, or the beginning of an id.")],
    *,
    cron: options.Cron = None,
    every: options.Every = None,
    after: options.After = None,
    on: options.Event = None,
    zone: options.Zone = None,
    stream: options.Streams = None,
    misfire: options.Missed = None,
    jitter: options.Jitter = None,
    blackout: options.Blackout = None,
    as_json: Json = False,
) -> None:
    """Add a schedule to an integration; it may have several.

    For example:

      schedules add CRM --cron '30 2 * * *' --zone Europe/Berlin
      schedules add CRM --every 15m --stream Lead --blackout 'mon-fri 08:00-18:00'
      schedules add Billing --after CRM
    """
    drivers, org_id = options.here(context)
    found = integrations.find(drivers, org_id, integration)
    timing = options.timing_of(drivers, org_id, cron=cron, every=every, after=after, event=on, zone=zone)
    policy = options.policy_of(misfire=misfire, jitter=jitter, blackout=blackout)
    added = service.add(drivers, found, timing, policy, streams=stream or None)
    _answer(drivers, added, as_json=as_json)


def edit(
    context: typer.Context,
    schedule: options.Wanted,
    *,
    cron: options.Cron = None,
    every: options.Every = None,
    after: options.After = None,
    on: options.Event = None,
    zone: options.Zone = None,
    stream: options.Streams = None,
    all_streams: Annotated[bool, typer.Option("--all-streams", help="All selected streams again.")] = False,
    misfire: options.Missed = None,
    jitter: options.Jitter = None,
    blackout: options.Blackout = None,
    as_json: Json = False,
) -> None:
    """Change a schedule; what isn't given stays as it is."""
    drivers, found = options.found(context, schedule)
    if all_streams and stream:
        raise UsageError("--all-streams and --stream exclude each other.", hint="Leave out one of them.")
    timing = options.timing_of(
        drivers, found.org_id, cron=cron, every=every, after=after, event=on, zone=zone, old=found.timing
    )
    policy = options.policy_of(misfire=misfire, jitter=jitter, blackout=blackout, old=found.policy)
    streams = None if all_streams else (stream or found.streams)
    _answer(drivers, service.edit(drivers, found, timing, policy, streams=streams), as_json=as_json)


def pause(context: typer.Context, schedule: options.Wanted, *, as_json: Json = False) -> None:
    """Pause a schedule: it starts nothing until it is resumed."""
    drivers, found = options.found(context, schedule)
    _answer(drivers, service.pause(drivers, found), as_json=as_json)


def resume(context: typer.Context, schedule: options.Wanted, *, as_json: Json = False) -> None:
    """Resume a schedule with its next slot.

    Those meanwhile are not made up for.
    """
    drivers, found = options.found(context, schedule)
    _answer(drivers, service.resume(drivers, found), as_json=as_json)


def delete(
    context: typer.Context,
    schedule: options.Wanted,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")] = False,
    as_json: Json = False,
) -> None:
    """Delete a schedule; its integration stays."""
    drivers, found = options.found(context, schedule)
    said = showing.said(found, showing.names(drivers, found.org_id))
    if not yes and not console.agreed(f"Delete {said}?", what=f"Deleting {said}"):
        console.say("Nothing was deleted.")
        return
    service.delete(drivers, found)
    if as_json:
        console.show_json(showing.schedule_json(found, showing.names(drivers, found.org_id)))
    else:
        console.say(f"{said} is deleted.")


def _answer(drivers: Drivers, schedule: Schedule, *, as_json: bool) -> None:
    names = showing.names(drivers, schedule.org_id)
    ahead = service.preview(drivers, schedule, most=3)
    if as_json:
        console.show_json(showing.schedule_json(schedule, names, upcoming=ahead))
        return
    console.say(f"{schedule.id}: {showing.said(schedule, names)}.")
    if schedule.paused_at is not None:
        console.say(f"It is paused. Go on: orchestrator schedules resume {shlex.quote(schedule.id)}")
    elif ahead:
        starts = [showing.moment(one.fire_at, schedule.timing.zone) for one in ahead if not one.blocked]
        console.say(f"Next: {', '.join(starts)}.")
