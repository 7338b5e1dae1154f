"""`orchestrator test` and `orchestrator discover`, and the showing of both while they go on."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

from orchestrator.domains.integrations import service
from orchestrator.domains.integrations.cli import finding, showing
from orchestrator.domains.integrations.cli.finding import Wanted
from orchestrator.domains.integrations.service import Follower, SetUp, Step
from orchestrator.domains.integrations.types import CheckResult, Integration, SetupState, StreamChange, Verdict
from orchestrator.drivers.bundle import Drivers
from orchestrator.drivers.meltano.output import Output
from orchestrator.kernel import console
from orchestrator.kernel.console import Json

_WIDE = 200  # characters of a plugin's line that fit beside the spinner


def test(context: typer.Context, integration: Wanted, *, as_json: Json = False) -> None:  # noqa: PT028 - a command
    """Check a connection step by step.

    The last step reads a first record. Exits 7 where a step fails.
    """
    drivers, found = finding.found(context, integration)
    done = verified(drivers, found, quiet=as_json)
    if as_json:
        console.show_json([showing.check_json(result) for result in done.checks])
    done.or_raise()
    if found.setup_state is not SetupState.CONNECTED:
        console.say(f"{found.name} is connected.")


def discover(context: typer.Context, integration: Wanted, *, as_json: Json = False) -> None:
    """Ask the source which streams it has.

    Choices made before stay.
    """
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


def verified(drivers: Drivers, integration: Integration, *, quiet: bool = False) -> SetUp:
    """Test it, and connect it where all is well; shown while it goes on."""
    with following(Step.TEST, integration, quiet=quiet) as told:
        return service.verify(drivers, integration, on_check=told.on_check, on_output=told.on_output)


def discovered(drivers: Drivers, integration: Integration) -> StreamChange:
    """Run a discovery, shown while it goes on."""
    with following(Step.DISCOVER, integration) as told:
        change = service.discover(drivers, integration, on_output=told.on_output)
    say_left_out(change)
    return change


def say_left_out(change: StreamChange) -> None:
    """Streams that exist and can't be read, each with why."""
    for said in change.left_out:
        console.say(f"Left out: {said}.")


@contextmanager
def following(step: Step, integration: Integration, *, quiet: bool = False) -> Iterator[Follower]:
    """Show a step while it goes on: each check as it ends, in a terminal also what is under way.

    quiet:  say nothing of checks, as they are in the result
    """
    if quiet and step is Step.TEST:
        yield Follower()
        return
    titles = {
        Step.TEST: f"Testing {integration.name} …",
        Step.DISCOVER: f"Asking {integration.name} what there is to read …",
    }
    with _spinning(titles[step]) as (on_output, say):
        yield Follower(on_check=lambda one: say(_line(one)), on_output=on_output)


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
