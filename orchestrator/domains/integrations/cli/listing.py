"""`orchestrator integrations`: what there is, in what state; switching, deleting, restoring."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import typer

from orchestrator.domains.catalog import rules as forms
from orchestrator.domains.catalog import service as connectors
from orchestrator.domains.integrations import service
from orchestrator.domains.integrations.cli import asking, finding, showing
from orchestrator.domains.integrations.cli.finding import Wanted
from orchestrator.domains.integrations.types import Integration
from orchestrator.drivers.bundle import Drivers
from orchestrator.kernel import console
from orchestrator.kernel.console import Json
from orchestrator.kernel.errors import UsageError

_SHORT = 12  # characters of an id that tell it apart: 8 after the prefix are 40 bits, the first of them time


def list_(
    context: typer.Context,
    *,
    deleted: Annotated[bool, typer.Option("--deleted", help="Those that were deleted and can be restored.")] = False,
    as_json: Json = False,
) -> None:
    """List integrations, and how they are."""
    drivers, place = finding.here(context)
    found = service.listing(drivers, place.org_id, deleted=deleted)
    counts, health = service.stream_counts(drivers, place.org_id), service.health_facts(drivers, place.org_id)
    if as_json:
        documents = [
            showing.integration_json(one, counts.get(one.id), **showing.health_json(health[one.id])) for one in found
        ]
        console.show_json(documents)
        return
    rows = [
        (
            one.name,
            one.type,
            one.deleted_at if deleted else showing.status(one, health[one.id]),
            one.health.value,
            health[one.id].last_success_at,
            one.target_schema,
            showing.selection(counts.get(one.id)),
            _short(one.id, found),
        )
        for one in found
    ]
    state = "deleted" if deleted else "status"
    columns = ("name", "connector", state, "health", "last success", "schema", "streams", "id")
    empty = (
        "Nothing was deleted." if deleted else "Nothing is connected yet. See what can be: orchestrator connectors list"
    )
    whole = [name for name in columns if name not in {"name", "schema"}]
    console.show_table(columns, rows, empty=empty, whole=whole, spare=("schema", "id"))


def _short(whole: str, among: list[Integration]) -> str:
    """The shortest beginning of the id, of a readable length at least, that no other id has."""
    length = _SHORT
    while sum(other.id.startswith(whole[:length]) for other in among) > 1 and length < len(whole):
        length += 1
    return whole[:length]


def show(context: typer.Context, integration: Wanted, *, as_json: Json = False) -> None:
    """Show an integration: state, configuration, selection.

    Secrets are shown as set or not.
    """
    drivers, found = finding.found(context, integration)
    counts = service.stream_counts(drivers, found.org_id).get(found.id)
    config, health = service.public(drivers, found), service.health_facts(drivers, found.org_id)[found.id]
    destination = _destination(drivers, found)
    if as_json:
        more = {"destination": destination, "config": config, **showing.health_json(health)}
        console.show_json(showing.integration_json(found, counts, **more))
        return
    console.show_facts(
        {
            "name": found.name,
            "id": found.id,
            "connector": f"{found.type} ({found.variant})",
            "status": showing.status(found, health),
            "health": found.health.value,
            **showing.health_lines(health, drivers.settings.health),
            "loads into": f"schema {found.target_schema} of {destination}",
            "streams": showing.selection(counts),
            "tested": found.tested_at or "never",
            "discovered": found.discovered_at or "never",
            "created": found.created_at,
        }
    )
    console.show_heading("Configuration")
    console.show_facts({path: _plain(value) for path, value in _in_order(found, config)})


def _in_order(found: Integration, config: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The values as the form asks for them."""
    asked = [
        field.name for field in forms.fields(connectors.installed().get(found.type), config, variant=found.variant)
    ]
    place = {name: at for at, name in enumerate(asked)}
    return sorted(showing.flat(config), key=lambda pair: place.get(pair[0], len(place)))


def _plain(value: Any) -> str:
    if not isinstance(value, dict):
        return showing.plain(value)
    if not value.get("set"):
        return "not set"
    since = value.get("updated_at")
    return f"set {console.ago(datetime.fromisoformat(since))}" if since else "set"


def _destination(drivers: Drivers, found: Integration) -> str:
    there = {one.id: one.name for one in service.destinations(drivers, found.org_id)}
    return there.get(found.destination_id, found.destination_id)


def enable(context: typer.Context, integration: Wanted, *, as_json: Json = False) -> None:
    """Enable an integration's syncs."""
    _switch(context, integration, enabled=True, as_json=as_json)


def disable(context: typer.Context, integration: Wanted, *, as_json: Json = False) -> None:
    """Disable an integration's syncs; everything is kept."""
    _switch(context, integration, enabled=False, as_json=as_json)


def _switch(context: typer.Context, wanted: str, *, enabled: bool, as_json: bool) -> None:
    drivers, found = finding.found(context, wanted)
    changed = service.switch(drivers, found, enabled=enabled)
    said = "is enabled." if enabled else "is disabled: nothing syncs until it is enabled again."
    _answer(changed, said, as_json=as_json)


def delete(
    context: typer.Context,
    integration: Wanted,
    *,
    forget_secrets: Annotated[
        bool, typer.Option("--forget-secrets", help="Its secrets go for good; restored, it needs them again.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")] = False,
    as_json: Json = False,
) -> None:
    """Delete an integration; it can be restored.

    What it loaded stays in the destination. Refused while one of its runs is under way. Its secrets stay encrypted
    for `restore`, unless they are to go.
    """
    drivers, found = finding.found(context, integration)
    if not yes:
        if not asking.possible():
            raise UsageError(f"Deleting {found.name} needs a yes.", hint="Say it: --yes.")
        if not asking.confirmed(f"Delete {found.name} ({found.id})?", default=False):
            console.say("Nothing was deleted.")
            return
    service.delete(drivers, found, forget_secrets=forget_secrets)
    restore_it = finding.command("integrations", "restore", found.name)
    _answer(found, f"is deleted; its data stays in schema {found.target_schema}. Undo: {restore_it}", as_json=as_json)


def restore(context: typer.Context, integration: Wanted, *, as_json: Json = False) -> None:
    """Restore a deleted integration.

    Its configuration, secrets and state come back with it.
    """
    drivers, found = finding.found(context, integration, deleted=True)
    _answer(service.restore(drivers, found), "is back.", as_json=as_json)


def _answer(integration: Integration, said: str, *, as_json: bool) -> None:
    if as_json:
        console.show_json(showing.integration_json(integration))
    else:
        console.say(f"{integration.name} {said}")
