"""The `orchestrator` command: mounts every domain's commands, and turns errors into a sentence and an exit code."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated

import typer

from orchestrator.drivers.bundle import Drivers
from orchestrator.entry import wiring
from orchestrator.kernel import console
from orchestrator.kernel.errors import InvalidConfigError, OrchestratorError

_INTERRUPTED = 130

app = typer.Typer(
    name="orchestrator",
    help="Connect sources, run their syncs through Meltano, and keep their secrets safe.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("orchestrator"))
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    *,
    _version_wanted: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """Connect sources, run their syncs through Meltano, and keep their secrets safe."""
    if context.obj is None:
        context.obj = wiring.drivers()
    context.call_on_close(context.obj.close)


def _mount() -> None:
    from orchestrator.domains.catalog import cli as catalog
    from orchestrator.domains.integrations import cli as integrations
    from orchestrator.domains.runs import cli as runs
    from orchestrator.domains.vault import cli as vault
    from orchestrator.entry import demo, setup

    for door in (setup, demo, catalog, integrations, runs, vault):
        door.mount(app)


def run(arguments: Sequence[str], *, drivers: Drivers | None = None) -> int:
    """One call of the command line; answers the exit code. drivers: those to use instead of the environment's."""
    if not app.registered_commands:
        _mount()
    try:
        result = app(list(arguments), standalone_mode=False, prog_name="orchestrator", obj=drivers)
    except OrchestratorError as error:
        _render(error, as_json="--json" in arguments)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        console.say("Stopped.")
        return _INTERRUPTED
    except BrokenPipeError:
        with suppress(OSError):
            sys.stdout.close()
        return 0
    except Exception as error:
        shown = getattr(error, "show", None)  # a usage error of the command line itself
        if shown is None:
            raise
        shown()
        return int(getattr(error, "exit_code", 2))
    return result if isinstance(result, int) else 0


def _render(error: OrchestratorError, *, as_json: bool) -> None:
    if as_json:
        import json

        facts = {key: value for key, value in error.facts.items() if value not in ("", None)}
        document = {"code": error.code, "message": error.message, "hint": error.hint, **facts}
        sys.stderr.write(json.dumps({"error": document}, default=str, ensure_ascii=False) + "\n")
    elif isinstance(error, InvalidConfigError) and len(error.problems) > 1:
        head = error.message.partition(": ")[0]
        listing = "\n".join(f"  {path}: {text}" for path, text in error.problems)
        console.complain(f"{head}:\n{listing}", error.hint)
    else:
        console.complain(error.message, error.hint)


def main() -> None:
    """Console script."""
    sys.exit(run(sys.argv[1:]))
