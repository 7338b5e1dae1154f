"""`orchestrator integrations edit`."""

from typing import Annotated

import typer

from orchestrator.domains.catalog import service as connectors
from orchestrator.domains.integrations import service
from orchestrator.domains.integrations.cli import asking, checking, finding, given, showing, wizard
from orchestrator.domains.integrations.cli.finding import Wanted
from orchestrator.domains.integrations.cli.given import Given
from orchestrator.domains.integrations.types import CheckResult
from orchestrator.kernel import console
from orchestrator.kernel.console import Json
from orchestrator.kernel.errors import UsageError


def edit(
    context: typer.Context,
    integration: Wanted,
    *,
    name: Annotated[str | None, typer.Option(help="Call it something else.")] = None,
    config: given.Config = None,
    set_: given.Sets = None,
    secret: given.Secrets = None,
    secret_env: given.SecretEnvs = None,
    test: Annotated[bool, typer.Option("--test/--no-test", help="Check the connection after saving.")] = True,
    as_json: Json = False,
) -> None:
    """Change an integration: asks with what is stored as defaults; secrets left empty stay.

    With --config, --set or --secret it doesn't ask: the fields of the document take the place of the stored ones
    with the same name at the top level, all others stay. With --name alone it is only renamed.
    """
    drivers, found = finding.found(context, integration)
    fields = Given(config=config, sets=set_ or (), secrets=secret or (), secret_envs=secret_env or ())
    connector = connectors.installed().get(found.type)
    results: tuple[CheckResult, ...] = ()
    if not fields.any and name is None:
        if not asking.possible():
            raise UsageError(
                "Nobody is here to answer questions.",
                hint=f"Give the fields: --config FILE or --set. {_show(found.name)}",
            )
        asking.heading(f"Edit {found.name}", "Enter keeps what is there.")
        found = wizard.corrected(drivers, found, connector)
        console.say("Saved.")
    else:
        values = fields.values(connector, found.variant, found.config)
        found = service.edit(drivers, found, values, name=name)
    try:
        if test and (fields.any or name is None):
            done = checking.verified(drivers, found, quiet=as_json)
            found, results = done.integration, done.checks
            done.or_raise()
    finally:
        counts = service.stream_counts(drivers, found.org_id).get(found.id)
        if as_json:
            checks = [showing.check_json(result) for result in results]
            console.show_json(showing.integration_json(found, counts, checks=checks))
        else:
            wizard.show_result(found, counts)


def _show(name: str) -> str:
    return f"What is stored: {finding.command('integrations', 'show', name)}"
