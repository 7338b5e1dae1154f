"""The checker first: of a history that keeps every promise it says nothing, and each kind of bug it calls by name."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.chaos.checker import RULES, check
from tests.chaos.history import (
    AttemptSeen,
    EventSeen,
    History,
    Hurt,
    ProcessSeen,
    RunSeen,
    SlotSeen,
    StateSeen,
)
from tests.e2e.comparing import Contents


def at(second: float) -> datetime:
    return datetime(2026, 11, 29, 12, tzinfo=UTC) + timedelta(seconds=second)


def attempt(
    epoch: int, began: float, ended: float | None, lease: float, *, worker: str = "", run: str = "run"
) -> AttemptSeen:
    return AttemptSeen(
        run=run,
        integration="crm",
        epoch=epoch,
        worker=worker or f"worker-{epoch}",
        started=at(began),
        finished=None if ended is None else at(ended),
        lease_until=at(lease),
    )


def state(epoch: int, second: float, position: str | None, **more) -> StateSeen:
    given = {"integration": "crm", "stream": "Contact", "reason": "run", "run": "run", **more}
    return StateSeen(position=position, epoch=epoch, at=at(second), **given)


def event(name: str, second: float, **more) -> EventSeen:
    return EventSeen(**{"name": f"run.{name}.v1", "run": "run", "at": at(second), **more})


def process(machine: str, first: float, last: float) -> ProcessSeen:
    return ProcessSeen(machine=machine, directory=f"run-{machine}", pid=7, kind="tap", first=at(first), last=at(last))


# A worker is stopped in the middle; its lease of five seconds ends, and another goes on to the end.
CLEAN = History(
    runs=(RunSeen(id="run", integration="crm", status="succeeded", ended=True, epoch=2, trigger="schedule"),),
    attempts=(attempt(1, 0, 8, 7), attempt(2, 9, 20, 24)),
    events=(
        event("started", 0),
        event("retrying", 8, kind="worker_lost"),
        event("started", 9),
        event("ended", 20, status="succeeded"),
    ),
    states=(state(1, 1, None), state(1, 2, "2026-01-01"), state(2, 12, "2026-01-01"), state(2, 19, "2026-02-01")),
    slots=(SlotSeen(schedule="nightly", slot=at(0), outcome="fired", run="run"),),
    processes=(process("a", 0.5, 7.2), process("b", 9.5, 19.5)),
    hurts=(Hurt(machine="a", fault="stop worker", since=at(2), until=at(15)),),
    workers={"worker-1": "a", "worker-2": "b"},
    tables={"crm.Contact": Contents(source={"1": b"x", "2": b"y"}, table={"1": b"x", "2": b"y"})},
    lease=timedelta(seconds=5),
)
FULL = tuple(replace(run, full_refresh=True) for run in CLEAN.runs)


def table(**changed) -> Callable[[History], History]:
    return lambda history: replace(history, tables={"crm.Contact": replace(history.tables["crm.Contact"], **changed)})


def with_(**changed) -> Callable[[History], History]:
    return lambda history: replace(history, **changed)


@pytest.mark.parametrize(
    "allowed",
    [
        pytest.param(with_(), id="another goes on where a worker was lost"),
        pytest.param(with_(states=(*CLEAN.states, state(0, 30, None, reason="reset", run=None))), id="a reset"),
        pytest.param(
            with_(states=(*CLEAN.states, state(0, 30, "2025-01-01", reason="rollback", run=None))), id="a rollback"
        ),
        pytest.param(
            with_(runs=FULL, states=(state(1, 2, "2026-02-01"), state(2, 12, "2026-01-01"))), id="a full refresh"
        ),
        pytest.param(with_(processes=(process("a", 0.5, 12.9),)), id="a process that ends a little late"),
        pytest.param(
            with_(
                tables={
                    "t": Contents(source={"1": b"x"}, table={"1": b"x"}, deleted=frozenset("1"), marked=frozenset("1"))
                }
            ),
            id="a deleted record",
        ),
    ],
)
def test_a_history_that_keeps_every_promise_is_left_alone(allowed: Callable[[History], History]) -> None:
    assert check(allowed(CLEAN)) == []


BUGS = [
    pytest.param(table(table={"1": b"x"}), "no_record_lost", id="state before the rows"),
    pytest.param(table(table={"1": b"x", "2": b"old"}), "table_is_source", id="an old attempt's row over a newer one"),
    pytest.param(table(table={"1": b"x", "2": b"y", "3": b"z"}), "table_is_source", id="a row of nobody's"),
    pytest.param(table(deleted=frozenset("1")), "table_is_source", id="a deletion that was missed"),
    pytest.param(
        with_(runs=(replace(CLEAN.runs[0], status="running", ended=False),), events=CLEAN.events[:3]),
        "every_run_ends",
        id="a run that stays running",
    ),
    pytest.param(
        with_(attempts=(CLEAN.attempts[0], attempt(2, 9, None, 24))), "every_run_ends", id="an attempt left open"
    ),
    pytest.param(with_(events=(*CLEAN.events, CLEAN.events[-1])), "one_terminal_event", id="the terminal event twice"),
    pytest.param(with_(events=CLEAN.events[:-1]), "one_terminal_event", id="no terminal event"),
    pytest.param(
        with_(events=(*CLEAN.events, event("ended", 21, status="failed"))),
        "one_terminal_event",
        id="a run finished twice",
    ),
    pytest.param(with_(events=(*CLEAN.events, event("started", 22))), "nothing_after_the_end", id="a run begun again"),
    pytest.param(with_(attempts=(CLEAN.attempts[0], attempt(1, 9, 20, 24))), "epochs_rise", id="the epoch not raised"),
    pytest.param(with_(attempts=CLEAN.attempts[1:]), "epochs_rise", id="an attempt not recorded"),
    pytest.param(
        with_(attempts=(attempt(1, 0, 10, 12), CLEAN.attempts[1])), "leases_never_overlap", id="two hold the same run"
    ),
    pytest.param(
        with_(
            runs=(*CLEAN.runs, replace(CLEAN.runs[0], id="other", epoch=1, trigger="person")),
            attempts=(*CLEAN.attempts, attempt(1, 15, 18, 20, run="other")),
            events=(
                *CLEAN.events,
                event("started", 15, run="other"),
                event("ended", 18, run="other", status="succeeded"),
            ),
        ),
        "leases_never_overlap",
        id="two runs of one integration at once",
    ),
    pytest.param(with_(hurts=()), "lost_for_a_reason", id="the lease not renewed"),
    pytest.param(
        with_(states=(*CLEAN.states[:3], state(1, 19, "2026-02-01"))), "state_is_fenced", id="no fencing on writes"
    ),
    pytest.param(with_(states=(*CLEAN.states, state(3, 19, "2026-03-01"))), "state_is_fenced", id="state of nobody"),
    pytest.param(
        with_(states=(*CLEAN.states, state(2, 19.5, "2026-01-15"))), "state_never_goes_back", id="state going back"
    ),
    pytest.param(with_(processes=(process("a", 0.5, 13.1),)), "no_process_outlives_its_run", id="a process left"),
    pytest.param(with_(processes=(process("c", 0.5, 3),)), "no_process_outlives_its_run", id="a process of no attempt"),
    pytest.param(with_(left=("a: run-1",)), "nothing_left", id="a run directory left"),
    pytest.param(with_(slots=CLEAN.slots * 2), "each_slot_fires_once", id="a slot decided twice"),
    pytest.param(
        with_(
            runs=(*CLEAN.runs, replace(CLEAN.runs[0], id="other", epoch=0, status="cancelled")),
            events=(*CLEAN.events, event("ended", 21, run="other", status="cancelled")),
        ),
        "each_slot_fires_once",
        id="two runs of one slot",
    ),
]


@pytest.mark.parametrize(("bug", "rule"), BUGS)
def test_a_bug_is_caught_by_the_rule_that_is_there_for_it(bug: Callable[[History], History], rule: str) -> None:
    assert rule in {one.rule for one in check(bug(CLEAN))}


def test_every_rule_catches_something() -> None:
    assert {rule.__name__ for rule in RULES} == {row.values[1] for row in BUGS}
