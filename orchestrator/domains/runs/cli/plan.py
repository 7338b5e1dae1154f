"""`orchestrator plan`: what a sync would do."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any

import typer

from orchestrator.domains.identity import service as identity
from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.runs import service
from orchestrator.domains.runs.cli import pausing, showing
from orchestrator.domains.runs.types import Forecast, StreamForecast, Unknown
from orchestrator.drivers.inject import of_command
from orchestrator.kernel import console
from orchestrator.kernel.console import Json

_NAMED = 3  # streams in a sentence


def plan(
    context: typer.Context,
    integration: Annotated[str, typer.Argument(metavar="INTEGRATION", help="Name, id, or the beginning of an id.")],
    *,
    stream: Annotated[
        list[str] | None, typer.Option("--stream", "-s", help="Only this stream; can be given several times.")
    ] = None,
    full_refresh: Annotated[bool, typer.Option("--full-refresh", help="As if it were to read from the start.")] = False,
    as_json: Json = False,
) -> None:
    """Show what a sync would do now.

    Which streams, from where on, and how much that is, going by earlier runs. Nothing is started.
    """
    drivers = of_command(context)
    place = identity.find(drivers.db, drivers.settings.organization)
    pausing.look_after(drivers)
    found = integrations.find(drivers, place.org_id, integration)
    told = service.forecast(drivers, found, streams=stream or None, full_refresh=full_refresh)
    if as_json:
        console.show_json({"integration": {"id": found.id, "name": found.name}, **_json(told)})
        return
    rows = [
        (
            one.stream,
            one.mode,
            one.position,
            _about(one.rows),
            _about(one.api_calls),
            _about(one.seconds),
            _based_on(one),
        )
        for one in told.streams
    ]
    columns = ("stream", "mode", "reads on from", "≈ rows", "≈ API calls", "≈ seconds", "going by")
    numeric = ["≈ rows", "≈ API calls", "≈ seconds"]
    console.show_table(columns, rows, empty="", numeric=numeric, whole=["going by"], spare=["mode"])
    handed = f"{told.encoding} batches" if told.encoding else "RECORD messages"
    console.say(f"Into {showing.where(found, integrations.destination(drivers, found))}, as {handed}.")
    for said in _unknown(told.streams):
        console.say(said)
    console.say(_signed_in(told))
    if told.under_way:
        console.say(f"{told.under_way} is under way, so a sync started now would be refused.")


def _about(value: float | None) -> str:
    return "?" if value is None else f"{value:,.0f}"


def _based_on(one: StreamForecast) -> str:
    nature = "from the start" if one.whole else "of changes"
    return "nothing yet" if not one.samples else f"{one.samples} {'run' if one.samples == 1 else 'runs'} {nature}"


def _unknown(streams: Iterable[StreamForecast]) -> Iterator[str]:
    """What the question marks stand for, and when they go."""
    because: dict[tuple[Unknown, bool], list[str]] = defaultdict(list)
    for one in streams:
        if (why := one.api_calls_unknown) is not None:
            because[why, one.whole and why is Unknown.NO_RUN].append(one.stream)
    for (why, whole), names in because.items():
        of = _some(names)
        if why is Unknown.NO_RUN:
            nature = "from the start" if whole else "changes"
            yield f"?: no sync that reads {nature} has succeeded yet for {of}; the first one that does will tell."
        else:
            yield f"API calls ?: the runs that this goes by counted none for {of}; not every plugin counts them."


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _signed_in(told: Forecast) -> str:
    scopes = f", granted: {' '.join(told.granted_scopes)}" if told.granted_scopes else ""
    problem = f": {told.sign_in_problem}" if told.sign_in_problem else ""
    missing = f", missing: {' '.join(told.missing_scopes)}" if told.missing_scopes else ""
    return f"Sign-in: {told.sign_in}{problem}{scopes}{missing}."


def _sum(parts: Iterable[int | None]) -> int | None:
    """All of them together; None where one isn't known."""
    known = list(parts)
    return None if None in known else sum(one or 0 for one in known)


def _json(told: Forecast) -> dict[str, Any]:
    return {
        "streams": [
            {
                "stream": one.stream,
                "mode": one.mode,
                "from_the_start": one.whole,
                "position": one.position,
                "estimate": {
                    "rows": one.rows,
                    "api_calls": one.api_calls,
                    "api_calls_unknown": one.api_calls_unknown,
                    "seconds": one.seconds,
                    "runs": one.samples,
                },
            }
            for one in told.streams
        ],
        "estimated_rows": _sum(one.rows for one in told.streams),
        "estimated_api_calls": _sum(one.api_calls for one in told.streams),
        "encoding": told.encoding,
        "sign_in": {
            "status": told.sign_in,
            "problem": told.sign_in_problem,
            "needed_scopes": told.needed_scopes,
            "granted_scopes": told.granted_scopes,
            "missing_scopes": told.missing_scopes,
        },
        "under_way": told.under_way,
    }
