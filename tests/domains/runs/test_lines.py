from datetime import UTC, datetime

import pytest

from orchestrator.domains.runs.service import lines as module
from orchestrator.domains.runs.service.lines import Lines

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def line(said, level="info", source="tap"):
    return (NOW, level, source, said)


def said(lines):
    return [message for _, _, _, message in lines.take()]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    for name, value in {"_WAITING": 50, "_KEPT": 10, "_CHARACTERS": 1_000, "_TROUBLE": 3, "_LAST": 2}.items():
        monkeypatch.setattr(module, name, value)


def test_lines_come_out_in_order():
    lines = Lines()
    for number in range(5):
        lines.add(line(str(number)))
    lines.end()
    assert said(lines) == ["0", "1", "2", "3", "4"]


def test_past_the_bound_errors_our_own_words_and_the_last_lines_are_kept_and_the_rest_is_counted():
    lines = Lines()
    for number in range(20):
        lines.add(line(str(number)))
    lines.add(line("it broke", level="error"))
    lines.add(line("why", source="orchestrator"))
    for number in range(20):
        lines.add(line(f"after {number}"))
    lines.end()

    kept = said(lines)
    assert kept[:10] == [str(number) for number in range(10)]
    assert kept[10:] == [
        "… 10 lines left out: more than a run's log can take",
        "it broke",
        "why",
        "… 18 lines left out: more than a run's log can take",
        "after 18",
        "after 19",
    ]


def test_errors_without_end_are_bounded_too():
    lines = Lines()
    for number in range(100):
        lines.add(line(str(number), level="error"))
    lines.end()
    assert said(lines)[10:] == ["10", "11", "12", "… 85 lines left out: more than a run's log can take", "98", "99"]


def test_long_lines_fill_the_log_as_well():
    lines = Lines()
    for _ in range(9):
        lines.add(line("x" * 400))
    lines.end()
    assert len(said(lines)) == 3 + 1 + 2


def test_what_waits_while_the_database_is_away_is_bounded_and_what_was_lost_is_said_in_its_place(monkeypatch):
    monkeypatch.setattr(module, "_KEPT", 1_000)
    lines = Lines()
    lines.add(line("first"))
    away = lines.take()
    for number in range(60):
        lines.add(line(str(number)))
    lines.give_back(away)
    assert said(lines) == ["first", *(str(number) for number in range(50))]

    lines.add(line("it is back"))

    assert said(lines) == ["… 10 lines left out: more than a run's log can take", "it is back"]
