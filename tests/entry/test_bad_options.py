"""Options that make no sense, of every command that there is: one plain sentence, and nothing was begun."""

import json
import re
from typing import get_args

import pytest
from typer.main import get_group

from orchestrator.entry import main


def commands(group, path=()):
    for name, one in group.commands.items():
        if hasattr(one, "commands"):
            yield from commands(one, (*path, name))
        else:
            yield (*path, name), one


def numbers():
    """Every option and argument of every command that takes a number: the words before it."""
    main.mount()
    for path, one in commands(get_group(main.app)):
        needed = [
            "Our code" for parameter in one.params if parameter.param_type_name == "argument" and parameter.required
        ]
        for parameter in one.params:
            takes = parameter.type_descriptor.annotation
            if (takes is int or int in get_args(takes)) and parameter.param_type_name == "option":
                yield (*path, *needed, parameter.opts[0])


NUMBERS = sorted(numbers())
BAD = ["x", "", "1.5", "-1", "0x10", 30 * "9"]
LIMITS = r"(must be (a whole number|at (least|most) \d+)|is too long a number)\.\n"


def test_every_command_is_looked_at():
    assert {("worker", "--concurrency"), ("runs", "list", "--limit")} < set(NUMBERS)


@pytest.mark.parametrize("words", [one for one in NUMBERS if one[:2] != ("retries", "set")], ids=" ".join)
def test_a_number_that_can_not_be_meant_is_said_in_plain_words(command, words):
    for bad in BAD:
        answer = command(*words[:-1], f"{words[-1]}={bad}")
        assert (answer.code, bool(re.search(LIMITS, answer.err))) == (2, True), answer.err


@pytest.mark.parametrize("bad", [*BAD, "0"])
def test_an_entry_of_the_history_and_attempts_are_numbers_too(command, ready, bad):
    for words in (("state", "Our code", "rollback", "--", bad), ("retries", "set", f"--attempts={bad}")):
        answer = command(*words)
        assert (answer.code, "Input" in answer.err, answer.out) == (2, False, "")


def test_with_json_it_is_a_document_like_any_other_error(command):
    answer = command("runs", "list", "--limit", "x", "--json")
    error = json.loads(answer.err)["error"]
    assert (answer.code, error["code"], "orchestrator runs list --help" in error["hint"]) == (2, "usage", True)
    assert "must be a whole number" in error["message"]


def test_what_is_no_text_is_refused(command):
    answer = command("sync", "\udcff")
    assert (answer.code, "not text in UTF-8" in answer.err) == (2, True)


@pytest.mark.parametrize("option", ["--integration", "--before"])
def test_an_empty_name_names_nothing(command, option):
    assert command("runs", "list", option, "").code == 3


def test_state_of_a_stream_that_is_not_there_is_no_empty_answer(command, ready):
    answer = command("state", "Our code", "--stream", "user")
    assert (answer.code, "users" in answer.err) == (3, True)
