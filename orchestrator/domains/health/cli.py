"""`orchestrator health`: what needs attention, and what to type."""

from typing import Annotated, Any

import typer

from orchestrator.domains.health import service
from orchestrator.domains.health.types import Cause, Condition, Freshness
from orchestrator.domains.identity import service as identity
from orchestrator.drivers.inject import of_command
from orchestrator.kernel import console
from orchestrator.kernel.console import Json
from orchestrator.kernel.errors import ActionNeededError

_MARKS = {
    Cause.DISABLED: "× disabled by failures",
    Cause.SIGN_IN: "⚠ sign in again",
    Cause.FAILING: "⚠ failing",
    Cause.LATE: "⚠ late",
    Cause.DEGRADED: "◐ degraded",
}


def mount(app: typer.Typer) -> None:
    """Add the command of this domain."""
    app.command("health")(health)


def health(
    context: typer.Context,
    *,
    every: Annotated[bool, typer.Option("--all", "-a", help="Those that are well, too.")] = False,
    as_json: Json = False,
) -> None:
    """Show what needs attention, and what to type.

    Exits 8 where something does.
    """
    drivers = of_command(context)
    found = service.conditions(drivers, identity.find(drivers.db, drivers.settings.organization).org_id)
    pressing = [one for one in found if one.attention is not None]
    if as_json:
        console.show_json([_json(one) for one in (found if every else pressing)])
    else:
        rows = [_row(one) for one in (found if every else pressing)]
        said = (
            "Nothing needs attention."
            if found
            else "Nothing is connected yet. See what can be: orchestrator connectors list"
        )
        columns = ("integration", "health", "data", "why", "what to do")
        console.show_table(columns, rows, empty=said, whole=["health", "data"])
        if pressing:
            console.say(f"Needs attention: {len(pressing):,} of {len(found):,}.")
    if pressing:
        raise typer.Exit(ActionNeededError.exit_code)


def _row(one: Condition) -> tuple[Any, ...]:
    wrong = one.attention
    health = _MARKS[wrong.cause] if wrong else f"● {one.integration.health}"
    if wrong is None and not one.integration.enabled:
        health = "× disabled"
    why, todo = (wrong.why, wrong.todo) if wrong else ("", "")
    return (one.integration.name, health, _data(one), why, todo)


def _data(one: Condition) -> str:
    newest = one.facts.last_success_at
    age = "none yet" if newest is None else console.ago(newest)
    fresh = one.freshness
    return f"{age}, due {console.ago(fresh.due)}" if fresh is not None and fresh.late else age


def _json(one: Condition) -> dict[str, Any]:
    integration, facts, wrong = one.integration, one.facts, one.attention
    return {
        "id": integration.id,
        "name": integration.name,
        "health": integration.health,
        "setup_state": integration.setup_state,
        "enabled": integration.enabled,
        "failures": facts.failures,
        "last_success_at": facts.last_success_at,
        "checked_at": facts.checked_at,
        "disabled_at": facts.disabled_at,
        "freshness": None if one.freshness is None else _freshness_json(one.freshness),
        "attention": None if wrong is None else {"cause": wrong.cause, "why": wrong.why, "what_to_do": wrong.todo},
    }


def _freshness_json(fresh: Freshness) -> dict[str, Any]:
    return {"as_of": fresh.as_of, "due": fresh.due, "late": fresh.late}
