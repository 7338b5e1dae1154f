"""`orchestrator schedules export`: the same schedules for cron or systemd, which call the command line."""

import shutil
from collections.abc import Sequence
from enum import StrEnum
from functools import partial
from typing import Annotated

import typer

from orchestrator.domains.schedules import rules, service
from orchestrator.domains.schedules.cli import options, showing
from orchestrator.domains.schedules.rules import Exported
from orchestrator.kernel import console, environment
from orchestrator.kernel.console import Json
from orchestrator.kernel.environment import Surroundings
from orchestrator.kernel.printable import cleaned

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
    """Write schedules as lines for cron or systemd.

    What those can't express is said. The lines work as they are, on this installation: what it needs of this
    shell's variables stands in them, except secrets. The lines go to stdout. Pause the schedules here before cron
    starts the same syncs.
    """
    drivers, org_id = options.here(context)
    names = showing.names(drivers, org_id)
    program = program or shutil.which("orchestrator") or "orchestrator"
    around = environment.surroundings(drivers.settings)
    given = around.plain if format_ is Format.SYSTEMD else {}
    write = rules.crontab if format_ is Format.CRONTAB else partial(rules.systemd, variables=given)
    found = [
        write(one, name=names.get(one.integration_id, ""), after=names.get(one.timing.after or "", ""), program=program)
        for one in service.listing(drivers, org_id)
    ]
    if as_json:
        console.show_json([_as_json(one, around) for one in found])
    elif not found:
        console.say("Nothing is scheduled yet. For example: orchestrator schedules add <integration> --every 1h")
    else:
        console.show_lines("\n".join(_document(found, format_, around)))


def _as_json(one: Exported, around: Surroundings) -> dict[str, object]:
    """A schedule with the variables that its command needs; secret ones by name."""
    return {
        "schedule": one.schedule.id,
        "lines": one.lines,
        "notes": one.notes,
        "title": one.title,
        "environment": around.plain,
        "secrets": around.secret,
    }


def _document(found: Sequence[Exported], format_: Format, around: Surroundings) -> list[str]:
    lines = [f"# {line}" for line in _about_secrets(around)]
    if format_ is Format.CRONTAB:
        lines = [*_ABOUT_CRON, *lines, *rules.crontab_environment(around.plain)]
    for one in found:
        lines += ["", f"# {one.title}", *(f"# {note}" for note in one.notes), *one.lines]
    return lines


def _about_secrets(around: Surroundings) -> list[str]:
    """What is set in this shell alone and must not be written into a crontab or unit, which others may read."""
    if not around.secret:
        return []
    return [
        f"Not written here, since they are secrets of this shell: {', '.join(around.secret)}.",
        f"Put them, as NAME=value, into {cleaned(str(around.env_file))}, readable by nobody else (chmod 600).",
    ]
