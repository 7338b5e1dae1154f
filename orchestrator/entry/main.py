"""The `orchestrator` command: mounts every domain's commands, and turns errors into a sentence and an exit code."""

import errno
import logging
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module
from typing import Annotated, Any

import typer

from orchestrator.drivers.bundle import Drivers
from orchestrator.entry import help as presenting
from orchestrator.entry import wiring
from orchestrator.kernel import console, memory, misfits
from orchestrator.kernel.errors import InvalidConfigError, OrchestratorError, TemporaryError, UsageError
from orchestrator.kernel.printable import escaped_json
from orchestrator.kernel.stdio import ReaderLeftError

_INTERRUPTED = 130
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

app = typer.Typer(
    name="orchestrator",
    cls=presenting.Root,
    help="Connect sources, run their syncs through Meltano, and keep their secrets safe.",
    epilog=presenting.EPILOG,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
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
        memory.keep_private()
        logging.getLogger("orchestrator").addHandler(logging.NullHandler())  # a command's stderr is for its caller
        context.obj = wiring.drivers()
    context.call_on_close(context.obj.close)


# The commands behind each door, so that a call imports only its own; a test holds this to what the doors mount.
DOORS = {
    "orchestrator.entry.commands": ("init", "migrate", "doctor", "query", "db", "sandbox"),
    "orchestrator.entry.demo": ("demo",),
    "orchestrator.entry.worker_commands": ("up", "worker"),
    "orchestrator.domains.catalog.cli": ("connectors",),
    "orchestrator.domains.integrations.cli": ("add", "integrations", "test", "discover", "streams", "render"),
    "orchestrator.domains.runs.cli": ("sync", "backfill", "plan", "export", "runs", "retries", "state", "workers"),
    "orchestrator.domains.schedules.cli": ("schedules",),
    "orchestrator.domains.health.cli": ("health",),
    "orchestrator.domains.vault.cli": ("secrets",),
}
_mounted: set[str] = set()


def mount(command: str = "") -> None:
    """Add the command, with all its door has, to the application; every command where there is none of that name."""
    called = [door for door, commands in DOORS.items() if command in commands] or list(DOORS)
    for door in called:
        if door not in _mounted:
            import_module(door).mount(app)
            _mounted.add(door)
    presenting.dress(app)


def run(arguments: Sequence[str], *, drivers: Drivers | None = None) -> int:
    """One call of the command line; answers the exit code. drivers: those to use instead of the environment's."""
    code = 0
    try:
        code = _call(arguments, drivers)
        sys.stdout.flush()
    except ReaderLeftError:
        pass  # as other programs end by SIGPIPE, but that what has been done is none the worse for it
    except OSError as error:
        if error.errno not in _FULL:
            raise
        full = TemporaryError(f"Not all could be written: {error.strerror}.", hint="Free some disk space.")
        code = code or full.exit_code
        with suppress(OSError):
            _render(full, as_json="--json" in arguments)
    return code


def _call(arguments: Sequence[str], drivers: Drivers | None) -> int:
    mount(*arguments[:1])
    try:
        _refuse_undecoded(arguments)
        result = app(list(arguments), standalone_mode=False, prog_name="orchestrator", obj=drivers)
    except OrchestratorError as error:
        _render(error, as_json="--json" in arguments)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        console.say("Stopped.")
        return _INTERRUPTED
    except Exception as error:
        shown = getattr(error, "show", None)  # a usage error of the command line itself
        if shown is None:
            raise
        _say_plainly(error)
        _refuse(error, as_json="--json" in arguments)
        return int(getattr(error, "exit_code", 2))
    return result if isinstance(result, int) else 0


def _refuse(error: Any, *, as_json: bool) -> None:
    """Say what is wrong with the call itself, as other errors are said; for a group without a command show its help."""
    context = getattr(error, "ctx", None)
    if context is None or type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return
    said = re.sub(r": (-\S+) \(Possible options?: (.*)\)", r" '\1'. Did you mean \2?", error.format_message())
    said = said if said.endswith("?") else f"{said.rstrip('.')}."
    if choice := re.search(r"'([^']*)' is not one of (.*)", said):
        near = get_close_matches(choice[1], re.findall(r"'([^']*)'", choice[2]), n=1)
        said += f" Did you mean '{near[0]}'?" if near else ""
    hint = f"{context.get_usage()}\nMore: {context.command_path} --help"
    _render(UsageError(said, hint=hint), as_json=as_json)


def _refuse_undecoded(arguments: Sequence[str]) -> None:
    """Bytes that are no text come as lone surrogates, which nothing that is asked could take."""
    try:
        "".join(arguments).encode()
    except UnicodeEncodeError:
        message = "An argument is not text in UTF-8."
        raise UsageError(message, hint="Write it in UTF-8, or see what LANG and LC_ALL say.") from None


def _say_plainly(error: Exception) -> None:
    """Typer's usage errors quote pydantic where a value doesn't fit."""
    problems = getattr(error.__cause__, "errors", None)
    if problems is not None:
        vars(error)["message"] = f"{misfits.plain(problems(include_input=False)[0])}."


def _render(error: OrchestratorError, *, as_json: bool) -> None:
    if as_json:
        import json

        facts = {key: value for key, value in error.facts.items() if value not in ("", None)}
        document = {"code": error.code, "message": error.message, "hint": error.hint, **facts}
        said = json.dumps({"error": document}, default=str, ensure_ascii=False)
        sys.stderr.write(escaped_json(said) + "\n")
    elif isinstance(error, InvalidConfigError) and len(error.problems) > 1:
        head = error.message.partition(": ")[0]
        listing = "\n".join(f"  {path}: {text}" for path, text in error.problems)
        console.complain(f"{head}:\n{listing}", error.hint)
    else:
        console.complain(error.message, error.hint)
