"""`orchestrator render`: what Meltano would be given."""

import typer

from orchestrator.domains.integrations import service
from orchestrator.domains.integrations.cli import finding
from orchestrator.domains.integrations.cli.finding import Wanted
from orchestrator.kernel import console
from orchestrator.kernel.console import Json


def render(context: typer.Context, integration: Wanted, *, as_json: Json = False) -> None:
    """Show the meltano.yml and the environment of a sync.

    Secrets are masked, and nothing is started.
    """
    drivers, found = finding.found(context, integration)
    preview, encoding = service.preview(drivers, found), service.handover(drivers, found)
    if as_json:
        console.show_json(
            {
                "encoding": encoding,
                "meltano_yml": preview.meltano_yml,
                "variables": dict(preview.variables),
                "catalog": preview.catalog,
            }
        )
        return
    lines = [
        f"# records go as {f'{encoding} batches' if encoding else 'RECORD messages'}",
        "# meltano.yml",
        preview.meltano_yml,
        "# environment; secrets are shown as ***",
    ]
    for name, value in sorted(preview.variables.items()):
        lines += [f"# {part}" for part in f"{name}={value}".splitlines()]
    console.show_lines("\n".join(lines))
    streams = (preview.catalog or {}).get("streams", [])
    if not streams:
        console.say(f"No stream is selected: {finding.command('streams', found.name)}")
