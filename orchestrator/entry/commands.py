"""Commands about the installation itself: init, migrate, doctor, db, query, sandbox."""

import sys
from datetime import date, timedelta
from enum import StrEnum
from math import isfinite
from typing import Annotated

import typer

from orchestrator.drivers.inject import of_command
from orchestrator.entry import doctor as looking
from orchestrator.entry import installing
from orchestrator.kernel import console
from orchestrator.kernel.console import Json
from orchestrator.kernel.errors import UsageError
from orchestrator.migrations import runner


def mount(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(init)
    app.command()(migrate)
    app.command()(doctor)
    app.command()(query)
    app.command()(db)
    its_own = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    app.command(context_settings=its_own)(sandbox)


def init(context: typer.Context, *, as_json: Json = False) -> None:
    """Set up this installation: database, key, organization.

    Safe to repeat: what is there stays as it is.
    """
    drivers = of_command(context)
    done = installing.install(drivers)
    embedded = drivers.settings.database_url is None
    if as_json:
        console.show_json(
            {
                "home": str(drivers.settings.home),
                "organization": done.place.organization,
                "workspace": done.place.workspace,
                "database": "embedded" if embedded else "DATABASE_URL",
                "revision": done.revision,
                "key_made": done.key_made,
            }
        )
        return
    facts = {
        "home": drivers.settings.home,
        "database": "embedded Postgres" if embedded else "the one of DATABASE_URL",
        "schema": f"revision {done.revision}" + ("" if done.revision_before else ", new"),
        "organization": f"{done.place.organization} (workspace {done.place.workspace})",
    }
    console.show_facts(facts)
    if done.key_made:
        console.say(
            f"A master key was made: {drivers.settings.key_file}. Back it up: without it no secret opens again."
        )
    console.say("Next: orchestrator connectors list, then orchestrator add <connector>.")


def migrate(context: typer.Context, *, as_json: Json = False) -> None:
    """Bring the control-plane database to this version's schema."""
    drivers = of_command(context)
    before, now = runner.migrate(drivers.unchecked_db.pool)
    if as_json:
        console.show_json({"before": before, "now": now, "changed": before != now})
    elif before == now:
        console.say(f"Nothing to do: the database is at revision {now}.")
    else:
        console.say(f"Migrated from {before or 'an empty database'} to revision {now}.")


def doctor(context: typer.Context, *, as_json: Json = False) -> None:
    """Check all that a sync needs, and say how to mend it.

    Exits 1 where something is missing.
    """
    drivers = of_command(context)
    findings = looking.findings(drivers)
    failed = any(finding.state is looking.State.BAD for finding in findings)
    if as_json:
        rows = [{"check": f.check, "state": f.state, "found": f.found, "fix": f.fix} for f in findings]
        console.show_json({"ok": not failed, "checks": rows})
    else:
        console.show_table(
            ("", "check", "found", "what to do"),
            [(looking.MARKS[f.state], f.check, f.found, f.fix and f"→ {f.fix}") for f in findings],
            empty="Nothing to look at.",
            whole=["check"],
            below="what to do",
        )
    if failed:
        raise typer.Exit(1)


def query(
    context: typer.Context,
    sql: Annotated[str, typer.Argument(metavar="SQL", help="A statement that only reads.")],
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=100_000, help="Rows at most.")] = 50,
    as_json: Json = False,
) -> None:
    """Run one statement that only reads in the warehouse.

    For example:

      orchestrator query 'SELECT count(*) FROM crm."Account"'
    """
    from orchestrator.drivers import warehouse

    drivers = of_command(context)
    found = warehouse.look(drivers.warehouse_url, sql, limit=limit)
    if as_json:
        console.show_json([dict(zip(found.columns, map(_in_json, row), strict=True)) for row in found.rows])
        return
    rows = [[_as_it_is(value) for value in row] for row in found.rows]
    console.show_table(found.columns, rows, empty="No rows.", every=True)
    if found.more:
        console.say(f"The first {limit:,} rows; --limit shows more.")


def _as_it_is(value: object) -> str | None:
    """A value of the warehouse: a year without a comma, a moment as such and not how long ago it was."""
    return None if value is None else str(value)


def _in_json(value: object) -> object:
    """A value of the warehouse for a document; as text where JSON has no form that keeps it, such as decimals."""
    if isinstance(value, list):
        return [_in_json(one) for one in value]
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"  # as Postgres shows it
    exact = value is None or isinstance(value, bool | int | str | dict | date | timedelta)
    return value if exact or (isinstance(value, float) and isfinite(value)) else str(value)


class DbAction(StrEnum):
    """What to do with the embedded Postgres."""

    STATUS = "status"
    STOP = "stop"


def db(
    context: typer.Context,
    action: Annotated[DbAction, typer.Argument(metavar="ACTION", help="What to do.")] = DbAction.STATUS,
    *,
    as_json: Json = False,
) -> None:
    """Show or stop the embedded Postgres.

    It starts when it is needed, and stops by itself ten minutes after its last use.
    """
    drivers = of_command(context)
    postgres = drivers.postgres
    if action is DbAction.STOP:
        stopped = postgres.stop_if_unused()
        if as_json:
            console.show_json({"stopped": stopped})
        else:
            console.say("Stopped." if stopped else "It isn't running, or somebody uses it.")
        return
    status = postgres.status()
    facts = {
        "running": status.running,
        "version": status.version,
        "data": str(status.data),
        "log": str(status.log),
        "pid": status.pid,
    }
    if as_json:
        console.show_json({**facts, "size_bytes": status.size_bytes})
    else:
        size = f"{status.size_bytes / 1e6:,.1f} MB"
        console.show_facts({**facts, "pid": status.pid and str(status.pid), "size": size})


def sandbox(
    context: typer.Context, name: Annotated[str, typer.Argument(help="Which service: salesforce.")] = "salesforce"
) -> None:
    """Run a stand-in for a provider on this machine.

    Options are its own: orchestrator sandbox salesforce --help
    """
    given = context.args
    if name.startswith("-"):
        name, given = "salesforce", [name, *given]
    if name != "salesforce":
        raise UsageError(f"There is no sandbox '{name}'.", hint="There is: salesforce.")
    from sandboxes.salesforce.__main__ import main

    sys.exit(main(given, program="orchestrator sandbox salesforce"))
