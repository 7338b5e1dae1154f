"""Checks that are due, made by a worker beside its runs."""

import threading
import time

import pytest
from sqlalchemy import text

from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.types import NewIntegration
from orchestrator.drivers.http import UnreachableError
from orchestrator.entry import due_checks
from orchestrator.entry.due_checks import AT_ONCE, Checks
from orchestrator.entry.observing.observer import Observer
from tests.fixtures.drivers import GITHUB


class Told(Observer):
    def __init__(self):
        self.seen = []

    def checked(self, integration, results):
        self.seen.append((integration.name, results[0].verdict.value))


@pytest.fixture
def due(drivers, place):
    """So many connections whose check is due."""

    def make(many):
        for number in range(many):
            made = integrations.add(drivers, place, NewIntegration(type="github", name=f"R{number}", values=GITHUB))
            integrations.connect(drivers, made)
        with drivers.db.connection() as connection:
            connection.execute(text("UPDATE orchestrator.integration_health SET next_check_at = now()"))

    return make


@pytest.fixture
def answers(drivers, monkeypatch):
    """GitHub answers nobody until it is told to."""
    gate, waiting, gave_up = threading.Event(), [], []

    def request(*_arguments, **_more):
        waiting.append(1)
        if not gate.wait(120):
            gave_up.append(1)
        raise UnreachableError("api.github.com:443", "timeout")

    monkeypatch.setattr(drivers.http, "request", request)
    gate.waiting, gate.gave_up = waiting, gave_up
    yield gate
    gate.set()


def eventually(look):
    until = time.monotonic() + 60
    while not look():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_checks_that_nobody_answers_are_bounded_and_hold_up_the_worker_for_a_moment(drivers, due, answers, monkeypatch):
    monkeypatch.setattr(due_checks, "_TURN", 0.3)
    due(AT_ONCE + 3)
    told = Told()
    make = Checks(told)
    eventually(lambda: make(drivers) or len(answers.waiting) == AT_ONCE)
    make(drivers)
    assert not answers.gave_up, "it came back while nobody had answered"
    assert len(answers.waiting) == AT_ONCE
    answers.set()
    eventually(lambda: make(drivers) or len(told.seen) == AT_ONCE + 3)
    assert {one[0] for one in told.seen} == {f"R{number}" for number in range(AT_ONCE + 3)}
    assert {one[1] for one in told.seen} == {"failed"}


def test_one_that_can_not_be_made_frees_its_place_and_says_so(drivers, due, monkeypatch, caplog):
    monkeypatch.setattr(integrations, "look_in", lambda *_: 1 / 0)
    due(AT_ONCE + 1)
    make = Checks(Observer())
    eventually(lambda: make(drivers) or caplog.text.count("could not be checked") == AT_ONCE + 1)
