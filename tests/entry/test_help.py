"""Help: one form for all commands, text that folds, and mistakes answered with what was probably meant."""

import json
import re

import pytest
from typer.main import get_command

from orchestrator.entry import help as presenting
from orchestrator.entry import main

WIDEST = 62  # columns of a description in a list of commands, where the terminal has 80
VERBS = """
    Add Ask Bring Cancel Change Check Connect Delete Disable Discard Drop Enable Execute Explain Let List Pause Preview Put
    Read Remove Reset Restore Resume Retry Run Set Show Sync Write
"""


def walked(command, *path):
    """Every command and group below, with its path."""
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from walked(inner, *path, name)


@pytest.fixture(scope="module")
def program():
    main.mount()
    return get_command(main.app)


def test_first_lines_begin_with_a_verb_and_fit_a_line(program):
    for path, command in [*walked(program)][1:]:
        first = command.help.partition("\n\n")[0].replace("\n", " ")
        assert first.split()[0].strip(",") in VERBS.split(), path
        assert first.endswith("."), path
        assert len(first) <= WIDEST, (path, len(first))


def test_every_command_stands_in_one_section(program):
    listed = [name for names in presenting.SECTIONS.values() for name in names]
    assert sorted(listed) == sorted(program.commands)


def test_help_fits_80_columns_and_shows_no_types(program, capsys):
    for path, _ in walked(program):
        if path == ("sandbox",):
            continue  # its help is the sandbox's own
        assert main.run([*path, "--help"]) == 0
        shown = capsys.readouterr().out
        assert max(map(len, shown.splitlines())) <= 80, path
        assert not re.search(r"<(str|int|bool|list)|\{", shown.replace("{$env", "")), path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(("snyc", "CRM"), "Did you mean 'sync'?", id="command"),
        pytest.param(("runs", "lst"), "Did you mean 'list'?", id="command of a group"),
        pytest.param(("sync", "CRM", "--strem", "x"), "No such option '--strem'. Did you mean --stream?", id="option"),
        pytest.param(("streams", "CRM", "selct"), "Did you mean 'select'?", id="action"),
        pytest.param(("runs", "list", "--status", "faild"), "Did you mean 'failed'?", id="choice"),
        pytest.param(("sync",), "Usage: orchestrator sync [OPTIONS] INTEGRATION", id="nothing given"),
    ],
)
def test_mistakes_in_a_call_are_answered(arguments, said, capsys):
    assert main.run(arguments) == 2
    answer = capsys.readouterr()
    assert answer.out == ""
    assert said in answer.err
    assert "--help" in answer.err


def test_with_json_a_mistake_in_a_call_is_a_document(capsys):
    assert main.run(("sync", "--json")) == 2
    answer = capsys.readouterr()
    assert json.loads(answer.err)["error"]["code"] == "usage"
    assert answer.out == ""
