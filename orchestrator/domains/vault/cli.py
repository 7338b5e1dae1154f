"""The command line's door to the vault: `orchestrator secrets`."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer

from orchestrator.domains.vault import service
from orchestrator.domains.vault.types import DataKeyUse, Place, RotatedKeys
from orchestrator.drivers.bundle import Drivers
from orchestrator.drivers.inject import of_command
from orchestrator.drivers.keys import ENVIRONMENT, MasterKey
from orchestrator.kernel import console
from orchestrator.kernel.console import Json
from orchestrator.kernel.errors import OrchestratorError

app = typer.Typer(no_args_is_help=True, help="Show and renew the keys that secrets are encrypted with.")


def mount(root: typer.Typer) -> None:
    """Add the commands of this domain."""
    root.add_typer(app, name="secrets")


@app.command()
def status(context: typer.Context, *, as_json: Json = False) -> None:
    """Show which keys there are, and what hangs on each.

    Needs no key, and opens nothing.
    """
    drivers = of_command(context)
    uses = service.uses(drivers)
    here, problem = _master_keys(drivers)
    locked = [use for _, use in uses if use.master_key_id not in {key.id for key in here}]
    if as_json:
        console.show_json(_status_json(here, uses))
    else:
        rows = [(key.id, "current" if key is here[0] else "unlocks", key.source, _wraps(uses, key.id)) for key in here]
        columns = ("master key", "", "from", "data keys")
        console.show_table(columns, rows, empty="There is no master key here.", numeric=["data keys"])
        if uses:
            console.out().print()
        _show_data_keys(uses, here)
    if problem is not None:
        console.complain(problem.message, problem.hint)
    if locked:
        count = sum(use.secrets for use in locked)
        which = "1 secret" if count == 1 else f"{count:,} secrets"
        console.say(f"⚠ {which} can't be opened: the master key isn't here.")


@app.command("rotate-key")
def rotate_key(context: typer.Context, *, as_json: Json = False) -> None:
    """Put every secret under new keys, while syncs go on.

    The key file gets a new master key, and loses those that nothing needs any more. A key that comes from
    INTEGRATION_ENCRYPTION_KEY is yours to change: put the new one in front of the old, with a comma between.
    """
    drivers = of_command(context)
    with _progress(quiet=as_json) as tell:
        done = service.rotate_keys(drivers, on_progress=tell)
    damaged = [place for one in done.organizations for place in one.damaged]
    _show_rotated(done, damaged, as_json=as_json)
    for place in damaged:
        console.say(f"⚠ {place.field} of {place.owner.table} {place.owner.row_id} is damaged and was left as it is.")
    if done.unneeded:
        console.say(f"Nothing needs master key {', '.join(done.unneeded)} any more: take it out of {ENVIRONMENT}.")
    elif not as_json:
        console.say(f"Back up {drivers.settings.key_file}: the old copy no longer opens what is saved from now on.")


def _show_rotated(done: RotatedKeys, damaged: list[Place], *, as_json: bool) -> None:
    facts = {
        "master_key": done.master_key,
        "organizations": len(done.organizations),
        "data_keys_rewrapped": sum(one.rewrapped for one in done.organizations),
        "secrets_renewed": sum(one.renewed for one in done.organizations),
        "data_keys_removed": sum(one.removed for one in done.organizations),
        "master_keys_removed": done.removed,
    }
    if as_json:
        places = [
            {"organization": p.org_id, "table": p.owner.table, "row": p.owner.row_id, "field": p.field} for p in damaged
        ]
        console.show_json({**facts, "damaged": places})
    else:
        shown = {name.replace("_", " "): value for name, value in facts.items()}
        console.show_facts({**shown, "master keys removed": ", ".join(done.removed) or "none"})


def _master_keys(drivers: Drivers) -> tuple[tuple[MasterKey, ...], OrchestratorError | None]:
    """Those at hand; where they can't be read, why."""
    try:
        return drivers.keys.keys, None
    except OrchestratorError as problem:
        return (), problem


def _wraps(uses: list[tuple[str, DataKeyUse]], key_id: str) -> int:
    return sum(use.master_key_id == key_id for _, use in uses)


def _show_data_keys(uses: list[tuple[str, DataKeyUse]], here: tuple[MasterKey, ...]) -> None:
    known = {key.id for key in here}
    rows = [
        (
            org_id,
            use.version,
            "active" if use.active else "retired",
            use.secrets,
            use.master_key_id if use.master_key_id in known else f"{use.master_key_id} (not here)",
        )
        for org_id, use in uses
    ]
    columns = ("organization", "data key", "state", "secrets", "master key")
    console.show_table(columns, rows, empty="Nothing is encrypted yet.", numeric=["data key", "secrets"])


def _status_json(here: tuple[MasterKey, ...], uses: list[tuple[str, DataKeyUse]]) -> dict[str, Any]:
    known = {key.id for key in here}
    return {
        "master_keys": [
            {"id": key.id, "source": key.source, "current": key is here[0], "data_keys": _wraps(uses, key.id)}
            for key in here
        ],
        "data_keys": [
            {
                "organization": org_id,
                "id": use.id,
                "version": use.version,
                "active": use.active,
                "secrets": use.secrets,
                "master_key": use.master_key_id,
                "master_key_here": use.master_key_id in known,
                "created_at": use.created_at,
            }
            for org_id, use in uses
        ],
    }


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar in a terminal; nothing elsewhere, as it takes seconds."""
    if quiet or not sys.stderr.isatty():
        yield lambda _done, _all: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("Renewing secrets"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console.err(), transient=True) as progress:
        bar = progress.add_task("", total=None)
        yield lambda done, whole: progress.update(bar, completed=done, total=whole)
