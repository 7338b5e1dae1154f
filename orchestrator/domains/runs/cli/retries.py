"""`orchestrator retries`: when failed runs get another attempt."""

from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any

import typer

from orchestrator.domains.identity import service as identity
from orchestrator.domains.runs import service
from orchestrator.domains.runs.cli.sync import time_limit
from orchestrator.domains.runs.types import FailureKind, OwnRetryPolicy, RetryPolicy
from orchestrator.drivers.bundle import Drivers
from orchestrator.drivers.inject import of_command
from orchestrator.kernel import console, durations
from orchestrator.kernel.console import Json
from orchestrator.kernel.errors import UsageError

app = typer.Typer(no_args_is_help=True, help="Show and set when failed runs get another attempt.")


@app.command()
def show(context: typer.Context, *, as_json: Json = False) -> None:
    """Show how many attempts, how long between, after what."""
    _show(*_here(context), as_json=as_json)


@app.command("set")
def set_(
    context: typer.Context,
    *,
    attempts: Annotated[int | None, typer.Option(help="Attempts at a run, at most; 1 means no retry.")] = None,
    backoff: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Before the second one; doubles with each after: 30s.")
    ] = None,
    longest: Annotated[str | None, typer.Option(metavar="DURATION", help="What that grows to at most: 1h.")] = None,
    kind: Annotated[
        list[FailureKind] | None, typer.Option(help="Only after these failures; can be given several times.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Set some of it for this organization; the rest stays.

    It holds for detached runs, from the next attempt that fails.
    """
    wanted: dict[str, Any] = {
        "attempts": attempts,
        "backoff": time_limit(backoff),
        "longest": time_limit(longest),
        "kinds": frozenset(kind) if kind else None,
    }
    given = {name: value for name, value in wanted.items() if value is not None}
    if not given:
        raise UsageError("Nothing was named to set.", hint="For example: orchestrator retries set --attempts 5.")

    def change(before: OwnRetryPolicy) -> OwnRetryPolicy:
        return replace(before, **given)

    drivers, org_id = _here(context)
    service.set_retries(drivers, org_id, change)
    _show(drivers, org_id, as_json=as_json)


@app.command()
def reset(context: typer.Context, *, as_json: Json = False) -> None:
    """Reset it to the settings of this installation."""
    drivers, org_id = _here(context)
    service.reset_retries(drivers, org_id)
    _show(drivers, org_id, as_json=as_json)


def _here(context: typer.Context) -> tuple[Drivers, str]:
    drivers = of_command(context)
    return drivers, identity.find(drivers.db, drivers.settings.organization).org_id


def _show(drivers: Drivers, org_id: str, *, as_json: bool) -> None:
    holds, own = service.retries(drivers, org_id)
    if as_json:
        console.show_json({**_json(holds), "own": _json(own)})
        return
    facts = {
        "attempts": (holds.attempts, own.attempts),
        "wait before the second": (durations.spoken(holds.backoff), own.backoff),
        "longest wait": (durations.spoken(holds.longest), own.longest),
        "after these failures": (", ".join(sorted(holds.kinds)), own.kinds),
    }
    console.show_facts(
        {name: f"{value}{'' if mine is None else ' (set here)'}" for name, (value, mine) in facts.items()}
    )


def _json(policy: RetryPolicy | OwnRetryPolicy) -> dict[str, Any]:
    return {
        "attempts": policy.attempts,
        "backoff_seconds": _seconds(policy.backoff),
        "longest_seconds": _seconds(policy.longest),
        "kinds": None if policy.kinds is None else sorted(policy.kinds),
    }


def _seconds(length: timedelta | None) -> float | None:
    return None if length is None else length.total_seconds()
