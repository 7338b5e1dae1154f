"""`orchestrator add`: from a connector to its first streams, in a conversation or from files."""

import shlex
from contextlib import AbstractContextManager
from typing import Annotated

import typer

from orchestrator.domains.catalog import rules as forms
from orchestrator.domains.catalog import service as connectors
from orchestrator.domains.catalog.types import Connector, Kind
from orchestrator.domains.identity.types import Place
from orchestrator.domains.integrations import rules, service
from orchestrator.domains.integrations.cli import asking, checking, finding, given, showing, wizard
from orchestrator.domains.integrations.cli.given import Given
from orchestrator.domains.integrations.service import Follower, SetUp, Step
from orchestrator.domains.integrations.types import (
    Destination,
    Integration,
    NewIntegration,
    SetupState,
    Verdict,
)
from orchestrator.drivers.bundle import Drivers
from orchestrator.kernel import console
from orchestrator.kernel.console import Json
from orchestrator.kernel.errors import UsageError


def add(
    context: typer.Context,
    connector: Annotated[str, typer.Argument(metavar="CONNECTOR", help="Which one: see connectors list.")],
    *,
    name: Annotated[str | None, typer.Option(help="What to call it; the connector's title otherwise.")] = None,
    config: given.Config = None,
    set_: given.Sets = None,
    secret: given.Secrets = None,
    secret_env: given.SecretEnvs = None,
    variant: Annotated[str | None, typer.Option(help="Which plugin does the work; see connectors show.")] = None,
    destination: Annotated[str, typer.Option(help="Where it loads to.")] = rules.WAREHOUSE,
    schema: Annotated[str | None, typer.Option(help="Schema of its tables; from the name otherwise.")] = None,
    stream: Annotated[
        list[str] | None,
        typer.Option("--stream", "-s", help="Read this, or what fits: 'Opp*'; can be given several times."),
    ] = None,
    test: Annotated[bool, typer.Option("--test/--no-test", help="Check the connection after saving.")] = True,
    discover: Annotated[bool, typer.Option("--discover/--no-discover", help="Ask the source for its streams.")] = True,
    as_json: Json = False,
) -> None:
    """Connect a source, or a destination.

    It asks for everything, checks the connection and shows what there is to read. Where nobody can answer, give its
    fields as a document; it may refer to the environment and to files:

      orchestrator add salesforce --config salesforce.yaml

      auth:
        auth_type: client_credentials
        client_id: 3MVG9…
        client_secret: {$env: SALESFORCE_SECRET}
      domain: acme.my.salesforce.com
      start_date: 2024-01-01

    Exits 6 where a field doesn't fit (nothing is saved then), 7 where a check fails (it is kept as a draft).
    """
    drivers, place = finding.here(context)
    kind = connectors.installed().get(connector)
    chosen = forms.variant_of(kind, variant or kind.default_variant).name
    fields = Given(config=config, sets=set_ or (), secrets=secret or (), secret_envs=secret_env or ())
    if not fields.any and not asking.possible():
        raise UsageError(f"Nobody is here to answer questions about {kind.title}.", hint=_example(kind))
    if kind.kind is Kind.DESTINATION:
        _destination(drivers, place, kind, fields, variant=chosen, name=name, test=test, as_json=as_json)
    elif not fields.any:
        wizard.walk_through(drivers, place, kind, chosen, name=name, destination=destination, schema=schema)
    else:
        new = NewIntegration(
            type=kind.name,
            name=name or wizard.free(kind.title, wizard.names(drivers, place)),
            values=fields.values(kind, chosen, {}),
            variant=chosen,
            destination=destination,
            target_schema=schema,
        )
        _straight(drivers, place, new, tuple(stream or ()), test=test, discover=discover, as_json=as_json)


def _destination(
    drivers: Drivers,
    place: Place,
    kind: Connector,
    fields: Given,
    *,
    variant: str,
    name: str | None,
    test: bool,
    as_json: bool,
) -> None:
    """Add a destination instead of a source."""
    made: Destination | None
    if fields.any:
        taken = {one.name for one in service.destinations(drivers, place.org_id)}
        values = fields.values(kind, variant, {})
        new = NewIntegration(
            type=kind.name, name=name or wizard.free(kind.title, taken), values=values, variant=variant
        )
        made = service.add_destination(drivers, place, new, test=test)
    else:
        made = wizard.destination(drivers, place, kind, variant, name=name)
    if made is None:
        return
    facts = {"name": made.name, "id": made.id, "connector": made.type, "variant": made.variant}
    if as_json:
        console.show_json(facts)
    else:
        console.show_facts(facts)
        console.say(f"\nLoad into it: orchestrator add <connector> --destination {shlex.quote(made.name)}")


def _example(kind: Connector) -> str:
    fields = f"orchestrator connectors show {kind.name}"
    return f"Give the fields: orchestrator add {kind.name} --config FILE. What they are: {fields}."


def _straight(
    drivers: Drivers,
    place: Place,
    new: NewIntegration,
    streams: tuple[str, ...],
    *,
    test: bool,
    discover: bool,
    as_json: bool,
) -> None:
    """Without a question; the integration is shown whatever of it failed, and the failure raised."""
    reached: list[SetUp] = []

    def follow(step: Step, so_far: SetUp) -> AbstractContextManager[Follower]:
        reached.append(so_far)
        return checking.following(step, so_far.integration, quiet=as_json)

    try:
        done = service.set_up(drivers, place, new, streams=streams, test=test, discover=discover, on_step=follow)
        reached.append(done)
        integration = done.or_raise()
    except BaseException:
        if reached:
            console.say(_kept(reached[-1].integration))
        raise
    finally:
        if reached:
            _show(drivers, reached[-1], as_json=as_json)
    if not as_json:
        wizard.say_next(integration, service.stream_counts(drivers, place.org_id).get(integration.id))


def _kept(integration: Integration) -> str:
    """What is left where something failed or was stopped after saving."""
    name = integration.name
    if integration.setup_state is SetupState.DRAFT:
        return f"{name} is kept as a draft. Correct it: {finding.command('integrations', 'edit', name)}"
    return f"{name} is connected; which streams are read is still open: {finding.command('discover', name)}"


def _show(drivers: Drivers, done: SetUp, *, as_json: bool) -> None:
    counts = service.stream_counts(drivers, done.integration.org_id).get(done.integration.id)
    if done.change is not None:
        checking.say_left_out(done.change)
    if as_json:
        passed = None if not done.checks else all(check.verdict is Verdict.PASSED for check in done.checks)
        console.show_json(
            showing.integration_json(
                done.integration,
                counts,
                passed=passed,
                checks=[showing.check_json(check) for check in done.checks],
                discovery=None if done.change is None else showing.change_json(done.change),
            )
        )
    else:
        wizard.show_result(done.integration, counts)
