"""`orchestrator schedules export`: the same schedules for cron or systemd, which call the command line."""

import shutil
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer

from orchestrator.domains.schedules import rules, service
from orchestrator.domains.schedules.cli import options, showing
from orchestrator.domains.schedules.rules import Exported
from orchestrator.kernel import console
from orchestrator.kernel.console import Json

_ABOUT_CRON = (
    "# CRON_TZ is understood by cronie (Fedora, RHEL, Arch), not by the cron of Debian and Ubuntu, which goes by the",
    "# zone of the machine: there, move the times or use --format systemd.",
    "# Exit codes: 0 all arrived, 9 a part did, 5 a sync was under way already.",
)


class Format(StrEnum):
    """Whose lines to write."""

    CRONTAB = "crontab"
    SYSTEMD = "systemd"


def export(
    context: typer.Context,
    *,
    format_: Annotated[Format, typer.Option("--format", help="Whose lines to write.")] = Format.CRONTAB,
    program: Annotated[str | None, typer.Option("--program", help="The orchestrator to call, with its path.")] = None,
    as_json: Json = False,
) -> None:
    """Every schedule as lines for another scheduler; what it can't express is said.

    The lines go to stdout. Pause the schedules here before cron starts the same syncs.
    """
    drivers, org_id = options.here(context)
    names = showing.names(drivers, org_id)
    program = program or shutil.which("orchestrator") or "orchestrator"
    write = rules.crontab if format_ is Format.CRONTAB else rules.systemd
    found = [
        write(one, name=names.get(one.integration_id, ""), after=names.get(one.timing.after or "", ""), program=program)
        for one in service.listing(drivers, org_id)
    ]
    if as_json:
        console.show_json(
            [{"schedule": one.schedule.id, "lines": one.lines, "notes": one.notes, "title": one.title} for one in found]
        )
    elif not found:
        console.say("Nothing is scheduled yet.")
    else:
        console.show_lines("\n".join(_document(found, format_)))


def _document(found: Sequence[Exported], format_: Format) -> list[str]:
    lines = list(_ABOUT_CRON) if format_ is Format.CRONTAB else []
    for one in found:
        lines += ["", f"# {one.title}", *(f"# {note}" for note in one.notes), *one.lines]
    return lines
