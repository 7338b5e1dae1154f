"""`orchestrator test` and `orchestrator discover`, and the showing of both while they go on."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

from orchestrator.domains.integrations import service
from orchestrator.domains.integrations.cli import finding, showing
from orchestrator.domains.integrations.cli.finding import Wanted
from orchestrator.domains.integrations.errors import FailedTestError
from orchestrator.domains.integrations.types import CheckResult, Integration, SetupState, StreamChange, Verdict
from orchestrator.drivers.bundle import Drivers
from orchestrator.drivers.meltano.output import Output
from orchestrator.kernel import console
from orchestrator.kernel.console import Json

_WIDE = 200  # characters of a plugin's line that fit beside the spinner


def test(context: typer.Context, integration: Wanted, *, as_json: Json = False) -> None:  # noqa: PT028 - a command
    """Check the connection, step by step; the last step reads a first record. Exits 7 where a step fails."""
    drivers, found = finding.found(context, integration)
    results = checked(drivers, found, quiet=as_json)
    if as_json:
        console.show_json([showing.check_json(result) for result in results])
    raise_where_failed(found, results)
    if found.setup_state is not SetupState.CONNECTED:
        service.connect(drivers, found)
        console.say(f"{found.name} is connected.")


def discover(context: typer.Context, integration: Wanted, *, as_json: Json = False) -> None:
    """Ask the source which streams it has; choices made before stay."""
    drivers, found = finding.found(context, integration)
    change = discovered(drivers, found)
    if as_json:
        console.show_json(showing.change_json(change))
        return
    console.show_facts(
        {"streams": change.total, "added": showing.many(change.added), "gone": showing.many(change.gone)}
    )
    selected, _ = service.stream_counts(drivers, found.org_id).get(found.id, (0, 0))
    if not selected and change.total:
        console.say(f"None is selected yet: {finding.command('streams', found.name, 'select', change.added[0])}")


def checked(drivers: Drivers, integration: Integration, *, quiet: bool = False) -> tuple[CheckResult, ...]:
    """Run the checks, each shown as it ends; in a terminal with what is going on meanwhile."""
    if quiet:
        return service.test(drivers, integration)
    with _spinning(f"Testing {integration.name} …") as (on_output, say):
        return service.test(drivers, integration, on_check=lambda one: say(_line(one)), on_output=on_output)


def raise_where_failed(integration: Integration, results: tuple[CheckResult, ...]) -> None:
    """Raises FailedTestError with the check that failed."""
    for result in results:
        if result.verdict is Verdict.FAILED:
            raise FailedTestError(integration.name, result.title, result.message, result.hint)


def discovered(drivers: Drivers, integration: Integration) -> StreamChange:
    """Run a discovery, with what is going on in a terminal."""
    with _spinning(f"Asking {integration.name} what there is to read …") as (on_output, _):
        change = service.discover(drivers, integration, on_output=on_output)
    for said in change.left_out:
        console.say(f"Left out: {said}.")
    return change


def _line(result: CheckResult) -> str:
    color = showing.COLORS[result.verdict]
    seconds = "" if result.verdict is Verdict.SKIPPED else f" [dim]{result.seconds:.1f} s[/]"
    said = (
        f"\n    {console.escaped(result.message)}" if result.message and result.verdict is not Verdict.SKIPPED else ""
    )
    return f"  [{color}]{showing.MARKS[result.verdict]}[/] {console.escaped(result.title)}{seconds}{said}"


@contextmanager
def _spinning(title: str) -> Iterator[tuple[Callable[[Output], None], Callable[[str], None]]]:
    """A spinner with the latest line of the plugin; without a terminal, lines as they come."""
    err = console.err()

    def say(markup: str) -> None:
        err.print(markup, soft_wrap=not sys.stderr.isatty())

    if not sys.stderr.isatty():
        yield lambda _: None, say
        return
    with err.status(console.escaped(title)) as status:

        def on_output(output: Output) -> None:
            message = getattr(output, "message", "")
            if message:
                room = min(max(err.width - len(title) - 8, 0), _WIDE)
                status.update(f"{console.escaped(title)} [dim]{console.escaped(message.splitlines()[0][:room])}[/]")

        yield on_output, say
