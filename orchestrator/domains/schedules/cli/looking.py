"""`orchestrator schedules list, show, preview`."""

from collections.abc import Sequence
from typing import Annotated

import typer

from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.schedules import rules, service
from orchestrator.domains.schedules.cli import options, showing
from orchestrator.domains.schedules.types import Upcoming
from orchestrator.kernel import console
from orchestrator.kernel.console import Json
from orchestrator.kernel.errors import UsageError

Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many.")]


def list_(
    context: typer.Context,
    *,
    integration: Annotated[str | None, typer.Option("--integration", "-i", help="Only of this one.")] = None,
    as_json: Json = False,
) -> None:
    """List schedules, their next start and their last slot."""
    drivers, org_id = options.here(context)
    only = None if integration is None else integrations.find(drivers, org_id, integration).id
    found = service.listing(drivers, org_id, integration_id=only)
    last, names = service.last_slots(drivers, org_id), showing.names(drivers, org_id)
    off = showing.hindrances(drivers, org_id)
    if as_json:
        console.show_json([showing.schedule_json(one, names, last=last.get(one.id), hindered=off) for one in found])
        return
    rows = [
        (
            names.get(one.integration_id, one.integration_id),
            showing.when(one, names),
            ", ".join(one.streams) if one.streams else "all selected",
            showing.next_start(one, off),
            showing.outcome(last.get(one.id)),
            one.id,
        )
        for one in found
    ]
    columns = ("integration", "when", "streams", "next", "last", "id")
    empty = "Nothing is scheduled yet. For example: orchestrator schedules add <integration> --cron '30 2 * * *'"
    console.show_table(columns, rows, empty=empty, whole=["next", "id"])


def show(context: typer.Context, schedule: options.Wanted, *, limit: Limit = 10, as_json: Json = False) -> None:
    """Show a schedule: its rule, next starts and last slots."""
    drivers, found = options.found(context, schedule)
    names = showing.names(drivers, found.org_id)
    trouble = showing.failure(found)
    ahead = [] if found.paused_at or trouble else service.preview(drivers, found, most=limit)
    behind = service.slots(drivers, found, limit=limit)
    off = showing.hindrances(drivers, found.org_id)
    if as_json:
        newest = next(iter(behind), None)
        document = showing.schedule_json(found, names, last=newest, hindered=off, upcoming=ahead, slots=behind)
        console.show_json(document)
        return
    console.show_facts(
        {
            "schedule": found.id,
            "integration": names.get(found.integration_id, found.integration_id),
            "when": showing.when(found, names),
            "cron": found.timing.cron,
            "streams": ", ".join(found.streams) if found.streams else "all selected",
            "rules": rules.policy_described(found.policy) if found.timing.by_clock else None,
            "paused": found.paused_at,
            "next": showing.next_start(found, off),
            "failure": trouble,
        }
    )
    _show_ahead(ahead, found.timing.zone)
    console.show_heading("Last slots")
    rows = [
        (showing.moment(one.slot, found.timing.zone), showing.outcome(one), one.run_id, one.decided_at)
        for one in behind
    ]
    console.show_table(("slot", "outcome", "run", "decided"), rows, empty="None yet.")


def preview(
    context: typer.Context,
    schedule: Annotated[str | None, typer.Argument(metavar="SCHEDULE", help="A schedule; or give options.")] = None,
    *,
    cron: options.Cron = None,
    every: options.Every = None,
    zone: options.Zone = None,
    jitter: options.Jitter = None,
    blackout: options.Blackout = None,
    limit: Limit = 10,
    as_json: Json = False,
) -> None:
    """Preview when a schedule starts, or would.

    Without adding it:

      orchestrator schedules preview --cron '30 2 * * *' --zone Europe/Berlin
    """
    drivers, org_id = options.here(context)
    if (schedule is None) is (cron is None and every is None):
        raise UsageError("Give a schedule, or the options of one.", hint="Such as --cron '30 2 * * mon-fri'.")
    if schedule is not None:
        found = service.find(drivers, org_id, schedule)
    else:
        timing = options.timing_of(drivers, org_id, cron=cron, every=every, after=None, event=None, zone=zone)
        policy = options.policy_of(misfire=None, jitter=jitter, blackout=blackout)
        found = service.imagine(drivers, org_id, timing, policy)
    ahead = service.preview(drivers, found, most=limit)
    if as_json:
        document = {"when": rules.described(found.timing), "zone": found.timing.zone}
        console.show_json({**document, "upcoming": [showing.upcoming_json(one) for one in ahead]})
        return
    console.say(rules.described(found.timing))
    _show_ahead(ahead, found.timing.zone, heading=False)


def _show_ahead(ahead: Sequence[Upcoming], zone: str, *, heading: bool = True) -> None:
    if not ahead:
        return
    if heading:
        console.show_heading("Next")
    rows = [
        (
            showing.moment(one.fire_at, zone),
            f"{one.fire_at.astimezone(rules.zone('UTC')):%Y-%m-%d %H:%M} UTC",
            "skipped: blackout" if one.blocked else "",
        )
        for one in ahead
    ]
    console.show_table(("start", "in UTC", ""), rows, empty="")
