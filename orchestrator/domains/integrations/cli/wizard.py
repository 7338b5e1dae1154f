"""Adding an integration as a conversation: questions, summary, save, test, streams."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import typer

from orchestrator.domains.catalog import rules as forms
from orchestrator.domains.catalog.types import Connector, Kind
from orchestrator.domains.identity.types import Place
from orchestrator.domains.integrations import rules, service
from orchestrator.domains.integrations.cli import asking, checking, finding, picking, showing
from orchestrator.domains.integrations.cli.form import Form
from orchestrator.domains.integrations.errors import InvalidIntegrationConfigError, NameTakenError
from orchestrator.domains.integrations.types import Destination, Integration, NewIntegration
from orchestrator.drivers.bundle import Drivers
from orchestrator.kernel import console
from orchestrator.kernel.errors import (
    ConnectionTestFailedError,
    InvalidConfigError,
    NotAllowedError,
    OrchestratorError,
    TemporaryError,
)

_AGAIN, _KEEP, _DISCARD = range(3)
_CORRECTABLE = (ConnectionTestFailedError, InvalidConfigError, NotAllowedError, TemporaryError)


def walk_through(
    drivers: Drivers,
    place: Place,
    connector: Connector,
    variant: str,
    *,
    name: str | None,
    destination: str,
    schema: str | None,
) -> None:
    """The whole conversation. Stopped anywhere, it says what was kept."""
    asking.heading(connector.title, connector.description)
    with _saying("Nothing was saved."):
        service.addable(drivers, place, connector.name)
        questions = _form(drivers, connector, variant)
        values = questions.asked({})
        new = NewIntegration(
            type=connector.name,
            name=name or _asked_name(drivers, place, connector.title),
            values=values,
            variant=variant,
            destination=_asked_destination(drivers, place, destination),
            target_schema=schema,
        )
        integration = _saved(drivers, place, connector, new)
    if integration is None:
        console.say("Nothing was saved.")
        return
    with _saying(f"{integration.name} is kept as a draft: {finding.command('integrations', 'edit', integration.name)}"):
        tested = tested_until_it_works(drivers, integration, connector)
    if tested is None:
        return
    with _saying(f"{tested.name} is connected. What it reads: {finding.command('streams', tested.name)}"):
        checking.discovered(drivers, tested)
        picking.pick(drivers, tested)
    counts = service.stream_counts(drivers, tested.org_id).get(tested.id)
    show_result(tested, counts)
    say_next(tested, counts)


def destination(
    drivers: Drivers, place: Place, connector: Connector, variant: str, *, name: str | None
) -> Destination | None:
    """The same for a destination; None where it was given up."""
    asking.heading(connector.title, connector.description)
    with _saying("Nothing was saved."):
        service.addable(drivers, place, connector.name)
        values = _form(drivers, connector, variant).asked({})
        if name is None:
            asking.heading("Name")
            taken = {one.name for one in service.destinations(drivers, place.org_id)}
            name = _unused_name(free(connector.title, taken), taken)
        new = NewIntegration(type=connector.name, name=name, values=values, variant=variant)
        while True:
            asking.heading("Summary")
            _show_summary(connector, new)
            if not asking.confirmed("Save it?", default=True):
                break
            try:
                return service.add_destination(drivers, place, new)
            except _CORRECTABLE as error:
                asking.wrong(f"{error.message} {error.hint}")
                values = _form(drivers, connector, variant).asked(new.values)
                new = replace(new, values=values)
    console.say("Nothing was saved.")
    return None


def tested_until_it_works(drivers: Drivers, integration: Integration, connector: Connector) -> Integration | None:
    """Test, and correct, until it works; None where it was given up."""
    while True:
        asking.heading("Testing")
        done = checking.verified(drivers, integration)
        if done.failure is None:
            return done.integration
        if done.failure.hint:
            asking.note(f"    {done.failure.hint}")
        choice = asking.picked(
            [("Correct the fields and try again", ""), ("Keep it as a draft", ""), ("Discard it", "")], default=_AGAIN
        )
        if choice == _DISCARD:
            service.discard(drivers, integration)
            console.say(f"{integration.name} was discarded; nothing of it is left.")
            return None
        if choice == _KEEP:
            again = finding.command("test", integration.name)
            console.say(f"{integration.name} is kept as a draft. Test it again: {again}")
            return None
        integration = corrected(drivers, integration, connector)


def corrected(
    drivers: Drivers, integration: Integration, connector: Connector, *, name: str | None = None
) -> Integration:
    """Ask again, with what is stored as defaults, and store it."""
    questions = _form(drivers, connector, integration.variant, integration)
    while True:
        values = questions.asked(integration.config)
        try:
            return service.edit(drivers, integration, values, name=name)
        except InvalidIntegrationConfigError as error:
            _complain(error)


def _form(drivers: Drivers, connector: Connector, variant: str, integration: Integration | None = None) -> Form:
    return Form(
        connector=connector,
        variant=variant,
        allow_private=drivers.settings.network.allow_private,
        secrets_set=_secrets_set(drivers, integration) if integration else {},
        app=drivers.settings.oauth_apps.get(connector.name),
    )


def _secrets_set(drivers: Drivers, integration: Integration) -> dict[str, str]:
    """Secrets that are stored, with since when in words."""
    from datetime import datetime

    return {
        path: console.ago(datetime.fromisoformat(state["updated_at"])) if state["updated_at"] else "before"
        for path, state in showing.flat(service.public(drivers, integration))
        if isinstance(state, Mapping) and state.get("set")
    }


def _saved(drivers: Drivers, place: Place, connector: Connector, new: NewIntegration) -> Integration | None:
    """Show what will be saved, and save it; names that are taken are asked for again."""
    while True:
        asking.heading("Summary")
        _show_summary(connector, new)
        if not asking.confirmed("Save it and test it?", default=True):
            return None
        try:
            return service.add(drivers, place, new)
        except InvalidIntegrationConfigError as error:
            _complain(error)
            values = _form(drivers, connector, new.variant or connector.default_variant).asked(new.values)
            new = replace(new, values=values)
        except NameTakenError as error:
            asking.wrong(error.message)
            new = replace(new, name=_asked_name(drivers, place, connector.title))


def _complain(error: InvalidIntegrationConfigError) -> None:
    for _, sentence in error.problems:
        asking.wrong(sentence)


def _show_summary(connector: Connector, new: NewIntegration) -> None:
    from rich.table import Table

    config, secrets = forms.split(connector, new.values)
    facts: dict[str, Any] = {"name": new.name, **dict(showing.flat(config)), **dict.fromkeys(secrets, "•••")}
    if connector.kind is Kind.SOURCE:
        facts["loads into"] = new.destination
    table = Table(box=None, show_header=False, show_edge=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for path, value in facts.items():
        table.add_row(path, console.escaped(showing.plain(value)))
    console.err().print(table)


def free(title: str, taken: Collection[str]) -> str:
    """The title, with a number where it is taken."""
    candidates = [title, *(f"{title} {number}" for number in range(2, len(taken) + 3))]
    return next(candidate for candidate in candidates if candidate not in taken)


def names(drivers: Drivers, place: Place) -> set[str]:
    """Names that integrations have."""
    return {integration.name for integration in service.listing(drivers, place.org_id)}


def _asked_name(drivers: Drivers, place: Place, title: str) -> str:
    taken = names(drivers, place)
    asking.heading("Name and destination")
    return _unused_name(free(title, taken), taken)


def _unused_name(default: str, taken: Collection[str]) -> str:
    while True:
        name = asking.line(f"Name [{default}]: ").strip() or default
        problem = rules.name_problem(name)
        if problem is None and name not in taken:
            return name
        asking.wrong(f"'{name}' is taken." if problem is None else f"The name: {problem}.")


def _asked_destination(drivers: Drivers, place: Place, wanted: str) -> str:
    """The destination; asked only where there are several."""
    there = [one.name for one in service.destinations(drivers, place.org_id)]
    if len(there) < 2 or wanted not in there:  # noqa: PLR2004 - nothing to choose
        return wanted
    asking.note("Destination")
    return there[asking.picked([(name, "") for name in there], default=there.index(wanted))]


def show_result(integration: Integration, counts: tuple[int, int] | None) -> None:
    """The integration, as the result of adding or editing it."""
    console.show_facts(
        {
            "name": integration.name,
            "id": integration.id,
            "status": showing.status(integration),
            "schema": integration.target_schema,
            "streams": showing.selection(counts),
        }
    )


def say_next(integration: Integration, counts: tuple[int, int] | None) -> None:
    """Three commands to try next."""
    console.say("\nTry next")
    name = integration.name
    ready = ("sync", name) if counts and counts[0] else ("streams", name, "select", "*")
    for words in (ready, ("streams", name), ("integrations", "show", name)):
        console.say(f"  {finding.command(*words)}")


@contextmanager
def _saying(kept: str) -> Iterator[None]:
    """Where it is stopped or fails in here, say what was kept."""
    try:
        yield
    except (KeyboardInterrupt, typer.Abort, OrchestratorError):
        console.say(f"\n{kept}")
        raise
