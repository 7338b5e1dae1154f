import pytest

from orchestrator.kernel import console

NAMES = ["evil[/b]x", "esc\x1b]0;X\x07", "new\nline", ":boom:", "[link=https://evil.example]x[/link]", "end\\"]
SHOWN = ["evil[/b]x", "esc]0;X", "new line", ":boom:", "[link=https://evil.example]x[/link]", "end\\"]
each_name = pytest.mark.parametrize(("name", "shown"), list(zip(NAMES, SHOWN, strict=True)))


@each_name
def test_names_from_outside_stand_in_tables_as_they_are_written_on_one_line(capsys, name, shown):
    console.show_table((name, "b"), [(name, 1)], empty="")
    console.show_facts({name: name})
    console.show_text(name, name)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0].strip() for line in lines] == [shown] * 4


@each_name
def test_a_heading_shows_what_it_is_given(capsys, name, shown):
    console.show_heading(name)
    assert capsys.readouterr().out.strip() == shown


def test_notes_and_errors_keep_their_lines_and_lose_what_steers_a_terminal(capsys):
    console.say("one\ntwo\x1b[2J")
    console.complain("it\x9b1m failed\n  here", "try\x07 again")
    console.show_lines("a\x1b[31m\nb")
    said = capsys.readouterr()
    assert said.err == "one\ntwo[2J\nError: it1m failed\n  here\n  try again\n"
    assert said.out == "a[31m\nb\n"


def test_json_says_the_same_without_raw_control_characters(capsys):
    console.show_json({"name": "\x9b31m\u202e\x1b"})
    assert capsys.readouterr().out == '{\n  "name": "\\u009b31m\\u202e\\u001b"\n}\n'


def test_where_markup_is_read_a_name_is_still_shown_as_it_is_written(capsys):
    shown = console.escaped(":boom: [/b] \x1b")
    console.err().print(f"[dim]{shown}[/]")
    assert capsys.readouterr().err == ":boom: [/b] \n"


def _drawn(monkeypatch, capsys, width, columns, *rows, **how):
    from rich.console import Console

    monkeypatch.setattr(console, "out", lambda: Console(width=width, soft_wrap=True, highlight=False))
    console.show_table(columns, rows, empty="", **how)
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


RUN = ("run_01m8m0a8hsfc092hws12q6jks8", "CRM", "● succeeded", "every day at 02:30 Europe/Berlin")


def test_where_there_is_room_a_table_stands_as_it_is(monkeypatch, capsys):
    [_, line] = _drawn(monkeypatch, capsys, 100, ("run", "of", "status", "when"), RUN)
    assert line == "  ".join(RUN)


def test_in_a_narrow_terminal_ids_give_way_first_to_a_beginning_that_still_names_them(monkeypatch, capsys):
    [_, line] = _drawn(monkeypatch, capsys, 75, ("run", "of", "status", "when"), RUN)
    assert line == "run_01m8m0a8hsfc092hws…  CRM  ● succeeded  every day at 02:30 Europe/Berlin"


def test_in_a_narrower_one_texts_fold_at_words_and_marks_stay_with_what_they_say(monkeypatch, capsys):
    lines = _drawn(monkeypatch, capsys, 60, ("run", "of", "status", "when"), RUN)
    assert lines[1] == "run_01m8m0a8hsfc09…  CRM  ● succeeded  every day at 02:30"
    assert lines[2].split() == ["Europe/Berlin"]


def test_what_is_to_stay_whole_folds_after_all_else(monkeypatch, capsys):
    lines = _drawn(monkeypatch, capsys, 20, ("next", "why"), ("Mon 09:00", "one two three four"), whole=["next"])
    assert lines[1:] == ["Mon 09:00  one two", "           three", "           four"]


def test_what_is_said_of_a_row_comes_below_it_where_there_is_no_room_beside(monkeypatch, capsys):
    columns, rows = ("run", "of", "why"), [("run_1", "CRM", "Nobody answered at the address."), ("run_2", "ERP", "")]
    how = {"below": "why"}
    wide = _drawn(monkeypatch, capsys, 60, columns, *rows, **how)
    assert wide[1:] == ["run_1  CRM  Nobody answered at the address.", "run_2  ERP"]
    narrow = _drawn(monkeypatch, capsys, 24, columns, *rows, **how)
    assert narrow == ["run    of", "run_1  CRM", "  Nobody answered at the", "  address.", "run_2  ERP"]


def test_columns_that_can_be_spared_are_left_out_before_words_are_cut(monkeypatch, capsys):
    columns, row = ("name", "plan", "kind"), ("salesforce", "free", "destination")
    how = {"spare": ("plan", "kind")}
    assert _drawn(monkeypatch, capsys, 29, columns, row, **how)[1] == "salesforce  free  destination"
    assert _drawn(monkeypatch, capsys, 28, columns, row, **how) == ["name        kind", "salesforce  destination"]
    assert _drawn(monkeypatch, capsys, 20, columns, row, **how) == ["name", "salesforce"]


def test_one_very_long_word_is_cut_before_all_others(monkeypatch, capsys):
    [_, first, *_] = _drawn(monkeypatch, capsys, 40, ("name", "connector"), ("x" * 60, "salesforce"))
    assert first == f"{'x' * 28}  salesforce"


def test_a_column_that_says_nothing_is_left_out(capsys):
    console.show_table(("name", "why", "n"), [("a", "", 0), ("b", "", None)], empty="")
    assert capsys.readouterr().out.split() == ["name", "n", "a", "0", "b", "–"]


@pytest.mark.parametrize("width", [1, 10, 40])
def test_no_terminal_is_too_narrow_and_no_value_too_long(monkeypatch, capsys, width):
    assert _drawn(monkeypatch, capsys, width, ("run", "of", "status", "when"), RUN, ("", "x" * 99, "", "日本語" * 30))
