"""`orchestrator demo`: the main job from nothing, against a local Salesforce org.

Everything below the org's address is the product as it is: the same use cases as a person's, and no shortcut that
knows the org to be local.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any

import typer

from orchestrator.domains.identity.types import Place
from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.errors import UnknownIntegrationError
from orchestrator.domains.integrations.service import Follower, SetUp, Step
from orchestrator.domains.integrations.types import CheckResult, Integration, NewIntegration, Verdict
from orchestrator.domains.runs import service as runs
from orchestrator.domains.runs.cli import watching
from orchestrator.domains.runs.errors import RunFailedError
from orchestrator.domains.runs.types import Run, RunStatus, StreamCount
from orchestrator.drivers import warehouse
from orchestrator.drivers.bundle import Drivers
from orchestrator.drivers.inject import of_command
from orchestrator.drivers.plugin_store import recipes
from orchestrator.entry import installing
from orchestrator.kernel import console
from orchestrator.kernel.console import Json
from orchestrator.kernel.environment import project_root
from orchestrator.kernel.settings import NetworkSettings

if TYPE_CHECKING:
    from sandboxes.salesforce import RemoteOrg

NAME = "Salesforce demo"
STREAMS = ("Account", "Contact", "Lead", "Opportunity", "User")
RECORDS = {"Account": 1_000, "Contact": 5_000, "Lead": 2_500, "Opportunity": 2_000, "User": 50}
_PLUGINS = ("tap-salesforce--orchestrator", "target-postgres-copy--orchestrator")


def mount(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(context: typer.Context, *, as_json: Json = False) -> None:
    """Sync a local Salesforce org into the warehouse, twice.

    Everything but the org is the product as it is. Between the syncs records are changed and deleted at the source.
    """
    drivers = _local(of_command(context))
    story = _Story(quiet=as_json)
    try:
        place, org = _set_up(drivers, story)
        with org:
            integration = _connect(drivers, place, org, story)
            first = _sync(drivers, integration, story, "First sync, everything")
            with story.step("Changing and deleting records at the source"):
                _change(org)
            second = _sync(drivers, integration, story, "Second sync, only what changed")
        _show(drivers, integration, (first, second), story, as_json=as_json)
    finally:
        drivers.close()


def _local(drivers: Drivers) -> Drivers:
    """The same drivers, allowed to call this machine: what an operator allows with one setting."""
    settings = drivers.settings.model_copy(update={"network": NetworkSettings(allow_private=True)})
    return replace(drivers, settings=settings)


class _Story:
    """Tells what goes on, step by step, on stderr."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self.began = monotonic()

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """One step with a spinner while it lasts, and its seconds after."""
        started = monotonic()
        if self.quiet:
            yield
            return
        with console.err().status(title + " …"):
            yield
        self.tell(f"[green]✓[/] {title} [dim]{monotonic() - started:.1f} s[/]")

    @contextmanager
    def following(self, step: Step, _so_far: SetUp) -> Iterator[Follower]:
        """A step of making the integration ready, the checks of its test line by line."""
        if step is Step.TEST:
            self.tell("[bold]Testing the connection[/]")
            yield Follower(on_check=lambda result: self.tell(_said(result)))
        else:
            with self.step("Discovering its objects"):
                yield Follower()

    def tell(self, text: str) -> None:
        """A line, in rich's markup."""
        if not self.quiet:
            console.err().print(text)


def _set_up(drivers: Drivers, story: _Story) -> tuple[Place, "RemoteOrg"]:
    """Database, organization, plugins and org, at the same time where they don't wait for each other."""
    from sandboxes.salesforce import RemoteOrg

    wanted = [recipe for recipe in recipes(project_root()) if recipe.label in _PLUGINS]
    with ThreadPoolExecutor() as pool:
        org = pool.submit(lambda: RemoteOrg(counts=RECORDS, options=["--rotate-refresh-tokens"]).start())
        built = [pool.submit(drivers.plugins.program, recipe) for recipe in wanted]
        with story.step("Postgres, schema and master key"):
            place = installing.install(drivers).place
        with story.step("Plugins, each in an environment of its own"):
            for one in built:
                one.result()
        with story.step(f"A local Salesforce org with {sum(RECORDS.values()):,} records"):
            return place, org.result()


def _connect(drivers: Drivers, place: Place, org: "RemoteOrg", story: _Story) -> Integration:
    """Add the integration (or renew that of the last demo), test it and see what it has."""
    values = {
        "auth": {
            "auth_type": "oauth_refresh",
            "client_id": org.app["client_id"],
            "client_secret": org.app["client_secret"],
            "refresh_token": org.app["refresh_token"],
        },
        "domain": org.url,
        "start_date": "2000-01-01",
        "streams": list(STREAMS),
    }
    with story.step(f"Adding the integration “{NAME}”, its secrets encrypted"):
        integration = _added(drivers, place, values)
    return integrations.make_ready(drivers, integration, streams=STREAMS, on_step=story.following).or_raise()


def _added(drivers: Drivers, place: Place, values: dict[str, Any]) -> Integration:
    try:
        earlier = integrations.find(drivers, place.org_id, NAME)
    except UnknownIntegrationError:
        return integrations.add(drivers, place, NewIntegration(type="salesforce", name=NAME, values=values))
    runs.reset(drivers, earlier, apply=True)
    warehouse.drop_schema(drivers.warehouse_url, earlier.target_schema)
    return integrations.edit(drivers, earlier, values)


def _said(result: CheckResult) -> str:
    from rich.markup import escape

    marks = {Verdict.PASSED: "[green]✓[/]", Verdict.FAILED: "[red]×[/]", Verdict.SKIPPED: "[dim]–[/]"}
    seconds = f" [dim]{result.seconds:.1f} s[/]" if result.verdict is not Verdict.SKIPPED else ""
    return f"  {marks[result.verdict]} {escape(result.title)}  [dim]{escape(result.message)}[/]{seconds}"


def _sync(drivers: Drivers, integration: Integration, story: _Story, title: str) -> tuple[Run, tuple[StreamCount, ...]]:
    """One sync through the same use cases as `orchestrator sync`."""
    story.tell(f"[bold]{title}[/]")
    run = runs.request(drivers, integration, trigger="demo")
    with watching.stoppable() as stop, watching.watching(quiet=story.quiet) as watcher:
        run = runs.execute(drivers, integration, run, cancel=stop.event, on_progress=watcher)
    counts = runs.counts(drivers, run)
    if run.status is not RunStatus.SUCCEEDED:
        raise RunFailedError(run)
    seconds = (run.finished_at - run.started_at).total_seconds() if run.finished_at and run.started_at else 0.0
    story.tell(f"[green]✓[/] {sum(one.written for one in counts):,} records [dim]{seconds:.1f} s[/]")
    return run, counts


def _change(org: "RemoteOrg") -> None:
    org.churn("Account", update=40, delete=10, insert=5)
    org.churn("Contact", update=200, delete=30, insert=20)
    org.churn("Opportunity", update=60, delete=5)


def _show(
    drivers: Drivers,
    integration: Integration,
    done: tuple[tuple[Run, tuple[StreamCount, ...]], ...],
    story: _Story,
    *,
    as_json: bool,
) -> None:
    """The end: what was moved, where it is, and what to try next."""
    tables = _tables(drivers, integration)
    rows = [
        (title, one.stream, one.read, one.written, one.deleted, round(one.seconds, 1))
        for title, (_, counts) in zip(("first sync", "second sync"), done, strict=True)
        for one in counts
    ]
    columns = ("sync", "stream", "read", "written", "deleted", "seconds")
    if as_json:
        found = [dict(zip(columns, row, strict=True)) for row in rows]
        console.show_json({"streams": found, "schema": integration.target_schema, "tables": tables})
        return
    console.say("")
    console.show_table(columns, rows, empty="Nothing was moved.", numeric=columns[2:])
    contact = f'SELECT "Id", "Name", "Email" FROM {integration.target_schema}."Contact" LIMIT 5'  # noqa: S608 - shown only
    listing = "\n".join(
        f"  {name:<12} {one['rows'] - one['deleted']:>6,} records"
        + (f", {one['deleted']:,} deleted" * bool(one["deleted"]))
        for name, one in tables.items()
    )
    story.tell(
        f"\n[bold]{monotonic() - story.began:.0f} s in all.[/] "
        f"The data is in the warehouse, schema [bold]{integration.target_schema}[/]:\n{listing}\n\n"
        "Try next:\n"
        f"  .venv/bin/orchestrator query '{contact}'\n"
        f"  .venv/bin/orchestrator runs logs {done[1][0].id}\n"
        f"  .venv/bin/orchestrator state '{NAME}' history"
    )


def _tables(drivers: Drivers, integration: Integration) -> dict[str, dict[str, int]]:
    """What each table holds: rows, and how many of them are marked as deleted at the source."""
    counted = " UNION ALL ".join(
        f"SELECT '{stream}', count(*), count(\"_sdc_deleted_at\")"  # noqa: S608 - our own names
        f' FROM {integration.target_schema}."{stream}"'
        for stream in STREAMS
    )
    found = warehouse.look(drivers.warehouse_url, counted, limit=len(STREAMS))
    return {str(name): {"rows": int(rows), "deleted": int(deleted)} for name, rows, deleted in found.rows}
