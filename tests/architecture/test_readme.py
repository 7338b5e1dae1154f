"""What README promises exists: every command it shows, every exit code, every setting."""

import importlib
import pkgutil
import re
import shlex
from functools import cache
from pathlib import Path

import pytest
from typer.main import get_command

import orchestrator
from orchestrator.domains.runs.errors import EXIT_CODES
from orchestrator.entry import main
from orchestrator.kernel import settings
from orchestrator.kernel.errors import OrchestratorError
from sandboxes.salesforce.__main__ import parser as sandbox_parser

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```\w*\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def arguments(call):
    """What `orchestrator` is called with, without what the shell does with its output."""
    words = shlex.split(call, comments=True)
    ends = [at for at, word in enumerate(words) if word[0] in "|&;" or re.match(r"\d?>$", word)]
    return words[1 : ends[0] if ends else None]


def commands():
    """Every call of ours in a block or a span of code; the tree of folders is no call."""
    lines = [line for block in BLOCKS for line in block.splitlines() if line.startswith("orchestrator ")]
    spans = re.findall(r"`(orchestrator [^`]+)`", re.sub(r"^```.*?^```", "", README, flags=re.MULTILINE | re.DOTALL))
    return sorted({shlex.join(arguments(one)) for one in (*lines, *spans)})


@cache
def program():
    main.mount()
    return get_command(main.app)


def parsed(command, arguments, *, parent=None, name="orchestrator"):
    """Everything click checks before it calls a command: its name, its options, its arguments; the last context."""
    with command.make_context(name, list(arguments), parent=parent) as context:
        rest = [*getattr(context, "_protected_args", []), *context.args]
        if not hasattr(command, "resolve_command"):
            return name, rest
        name, inner, rest = command.resolve_command(context, rest)
        return parsed(inner, rest, parent=context, name=name)


def test_there_are_commands_to_look_at():
    assert len(commands()) >= 20
    assert "sync CRM --stream User --full-refresh" in commands()


@pytest.mark.parametrize("line", commands())
def test_every_command_shown_is_one_with_options_it_has(line):
    name, rest = parsed(program(), shlex.split(line))
    if name == "sandbox":
        sandbox_parser().parse_args(rest)


@pytest.mark.parametrize("line", ["nope", "sync", "sync CRM --nope", "streams CRM select --nope x", "runs nope"])
def test_what_is_no_command_is_noticed(line):
    with pytest.raises(Exception, match=r"(?i)no such|missing|unexpected"):
        parsed(program(), shlex.split(line))


def rows(heading):
    """The cells of the table under a heading."""
    section = README.partition(f"{heading}\n")[2]
    lines = re.findall(r"^\|(.*)\|$", section.partition("\n#")[0], re.MULTILINE)
    return [[cell.strip() for cell in line.split(" | ")] for line in lines[2:]]


def test_every_exit_code_is_in_the_table_and_no_other():
    for module in pkgutil.walk_packages(orchestrator.__path__, "orchestrator."):
        if module.name.endswith(".errors"):
            importlib.import_module(module.name)
    told = {int(code) for row in rows("### Exit codes") for cell in row[::2] for code in re.findall(r"\d+", cell)}
    assert told == {0, *classes(OrchestratorError), *EXIT_CODES.values(), 130, 143}


def classes(error):
    """The exit codes of an error and of all that inherit from it."""
    own = {error.exit_code} if isinstance(error.exit_code, int) else set()
    return own.union(*(classes(one) for one in error.__subclasses__()))


def test_every_setting_is_in_the_table_and_no_other():
    cells = [row[0] for row in rows("## Configuration")]
    told = set()
    for cell in cells:
        names = re.findall(r"`([^`]+)`", cell)
        section = names[0].partition("__")[0]
        told |= {name.replace("…", section) for name in names}
    assert told == {name for name, _, _ in settings.variables()}
