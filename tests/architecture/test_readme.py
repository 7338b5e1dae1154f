"""What README and the pages it links to promise exists: commands, exit codes, settings, links."""

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
from orchestrator.kernel import environment
from orchestrator.kernel.errors import OrchestratorError
from sandboxes.salesforce.__main__ import parser as sandbox_parser

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
EAGER = {"--help", "--version", "--install-completion"}  # asking for these does something at once
FENCED = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINKED = (*PAGES, ROOT / "bench/README.md", *ROOT.glob("ta*s/*/README.md"))


def arguments(call):
    """What `orchestrator` is called with, without what the shell does with its output."""
    words = shlex.split(call, comments=True)
    ends = [at for at, word in enumerate(words) if word[0] in "|&;" or re.match(r"\d?>$", word)]
    return words[1 : ends[0] if ends else None]


def commands():
    """Every call of ours in a block or a span of code; the tree of folders is no call."""
    texts = [page.read_text("utf-8") for page in PAGES]
    blocks = [block for text in texts for block in FENCED.findall(text)]
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("orchestrator ")]
    spans = [span for text in texts for span in re.findall(r"`(orchestrator\s[^`]+)`", FENCED.sub("", text))]
    given = [arguments(one) for one in (*lines, *spans)]
    return sorted({shlex.join(one) for one in given if one[0] not in EAGER})


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
    assert {"sync CRM", "schedules export", "schedules export --format systemd"} <= set(commands())


@pytest.mark.parametrize("line", commands())
def test_every_command_shown_is_one_with_options_it_has(line):
    name, rest = parsed(program(), shlex.split(line))
    if name == "sandbox":
        sandbox_parser().parse_args(rest)


@pytest.mark.parametrize("line", ["nope", "sync", "sync CRM --nope", "streams CRM select --nope x", "runs nope"])
def test_what_is_no_command_is_noticed(line):
    with pytest.raises(Exception, match=r"(?i)no such|missing|unexpected"):
        parsed(program(), shlex.split(line))


def rows(page, heading):
    """The cells of the table under a heading of a page."""
    section = (ROOT / "docs" / page).read_text("utf-8").partition(f"{heading}\n")[2]
    lines = re.findall(r"^\|(.*)\|$", section.partition("\n#")[0], re.MULTILINE)
    return [[cell.strip() for cell in line.split(" | ")] for line in lines[2:]]


def test_every_exit_code_is_in_the_table_and_no_other():
    for module in pkgutil.walk_packages(orchestrator.__path__, "orchestrator."):
        if module.name.endswith(".errors"):
            importlib.import_module(module.name)
    cells = [cell for row in rows("command-line.md", "## Exit codes") for cell in row[::2]]
    told = {int(code) for cell in cells for code in re.findall(r"\d+", cell)}
    assert told == {0, *classes(OrchestratorError), *EXIT_CODES.values(), 130, 143}


def classes(error):
    """The exit codes of an error and of all that inherit from it."""
    own = {error.exit_code} if isinstance(error.exit_code, int) else set()
    return own.union(*(classes(one) for one in error.__subclasses__()))


def test_every_setting_is_in_the_table_and_no_other():
    cells = [row[0] for row in rows("configuration.md", "# Configuration")]
    told = set()
    for cell in cells:
        names = re.findall(r"`([^`]+)`", cell)
        section = names[0].partition("__")[0]
        told |= {name.replace("…", section) for name in names}
    assert told == {name for name, _, _ in environment.variables()}


def anchors(page):
    """What can be linked to in a page: its headings as GitHub writes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", LINKED, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_within_the_repository_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", FENCED.sub("", page.read_text("utf-8"))):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path) if path else page
        assert there.exists(), f"{target} leads nowhere"
        assert not anchor or anchor in anchors(there), f"{target} leads to no heading"


def test_every_page_is_linked_from_the_first():
    linked = set(re.findall(r"\]\((docs/[^)#]+)", PAGES[0].read_text("utf-8")))
    assert linked >= {f"docs/{page.name}" for page in PAGES[1:]}
