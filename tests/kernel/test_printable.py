import json

import pytest

from orchestrator.kernel.printable import cleaned, escaped_json, is_plain

HOSTILE = [
    pytest.param("esc\x1b]0;X\x07", "esc]0;X", id="the title of the window"),
    pytest.param("\x9b31mred", "31mred", id="an escape in one character"),
    pytest.param("new\nline", "new line", id="a line of its own"),
    pytest.param("back\rto the start", "back to the start", id="over the line before"),
    pytest.param("nul\0", "nul", id="NUL"),
    pytest.param("user\u202egnp.exe", "usergnp.exe", id="written backwards"),
    pytest.param("two\u2028lines", "two lines", id="a line separator"),
    pytest.param("half\ud800", "half", id="half of a character"),
]


@pytest.mark.parametrize(("text", "shown"), HOSTILE)
def test_what_steers_a_terminal_is_taken_out(text, shown):
    assert not is_plain(text)
    assert cleaned(text) == shown
    assert is_plain(cleaned(text))


@pytest.mark.parametrize("text", ["Account", "日本 🎉", "Ünïcode", "evil[/b]x", "a b", "مرحبا", "👩‍🔬"])
def test_what_people_write_stays_as_it_is(text):
    assert is_plain(text)
    assert cleaned(text) == text


def test_lines_stay_where_they_are_wanted():
    assert cleaned("one\n\ttwo\x1b[1m\r\n", lines=True) == "one\n\ttwo[1m\n"


@pytest.mark.parametrize(("text", "_shown"), HOSTILE)
def test_in_json_it_is_kept_but_written_out(text, _shown):
    document = escaped_json(json.dumps({"name": text}, ensure_ascii=False, indent=2))
    assert json.loads(document) == {"name": text}
    assert all(is_plain(line) for line in document.splitlines())
