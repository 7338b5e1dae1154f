"""`orchestrator integrations edit`."""

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, TypeVar

import typer

from orchestrator.domains.catalog import service as connectors
from orchestrator.domains.integrations import service
from orchestrator.domains.integrations.cli import asking, checking, finding, given, showing, wizard
from orchestrator.domains.integrations.cli.finding import Wanted
from orchestrator.domains.integrations.cli.given import Given
from orchestrator.domains.integrations.errors import WatchOptionError
from orchestrator.domains.integrations.types import CheckResult
from orchestrator.kernel import console, durations
from orchestrator.kernel.console import Json
from orchestrator.kernel.errors import UsageError

T = TypeVar("T")

_DEFAULT = "default"
_LEAST_FAILURES, _MOST_FAILURES = 2, 1000  # a warning comes before
CheckEvery = Annotated[
    str | None,
    typer.Option(metavar="DURATION", help="Check the connection where no sync used it for so long: 30m, off, default."),
]
DisableAfter = Annotated[
    str | None,
    typer.Option(metavar="N", help="Disable it after so many failures that a person must mend: 5, off, default."),
]


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
    check_every: CheckEvery = None,
    disable_after: DisableAfter = None,
    as_json: Json = False,
) -> None:
    """Change an integration.

    It asks, with what is stored as defaults; secrets left empty stay.

    With --config, --set or --secret it doesn't ask: the fields of the document take the place of the stored ones
    with the same name at the top level, all others stay. With --name alone it is only renamed, with --check-every or
    --disable-after alone only watched differently.
    """
    every = _stored("--check-every", check_every, durations.parse, never=timedelta(0))
    limit = _stored("--disable-after", disable_after, _count, never=0)
    drivers, found = finding.found(context, integration)
    fields = Given(config=config, sets=set_ or (), secrets=secret or (), secret_envs=secret_env or ())
    connector = connectors.installed().get(found.type)
    results: tuple[CheckResult, ...] = ()
    watched = check_every is not None or disable_after is not None
    if check_every is not None:
        service.set_check_every(drivers, found, every)
    if disable_after is not None:
        service.set_disable_after(drivers, found, limit)
    if not fields.any and name is None and not watched:
        if not asking.possible():
            raise UsageError(
                "Nobody is here to answer questions.",
                hint=f"Give the fields: --config FILE or --set. {_show(found.name)}",
            )
        asking.heading(f"Edit {found.name}", "Enter keeps what is there.")
        found = wizard.corrected(drivers, found, connector)
        console.say("Saved.")
    elif fields.any or name is not None:
        values = fields.values(connector, found.variant, found.config)
        found = service.edit(drivers, found, values, name=name)
    try:
        if test and (fields.any or (name is None and not watched)):
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


def _stored(option: str, given: str | None, read: Callable[[str], T], *, never: T) -> T | None:
    """What is to be stored: `never` for off, None for the installation's. Raises WatchOptionError."""
    said = (given or _DEFAULT).strip().lower()
    if said == _DEFAULT:
        return None
    try:
        return never if said == durations.OFF else read(said)
    except ValueError:
        raise WatchOptionError(option, said) from None


def _count(text: str) -> int:
    number = int(text)
    if not _LEAST_FAILURES <= number <= _MOST_FAILURES:
        raise ValueError(text)
    return number


def _show(name: str) -> str:
    return f"What is stored: {finding.command('integrations', 'show', name)}"
