"""Does a history keep every promise? Pure: the same history gets the same answer, wherever it was recorded."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

from tests.chaos.history import AttemptSeen, EventSeen, History, StateSeen

OUTLIVES = timedelta(seconds=5)  # a process may end so long after its run
_STARTED, _RETRYING, _ENDED = "run.started.v1", "run.retrying.v1", "run.ended.v1"


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken. rule: the name of its function here."""

    rule: str
    detail: str


def check(history: History) -> list[Violation]:
    """Every promise that the history breaks."""
    return [Violation(rule.__name__, detail) for rule in RULES for detail in rule(history)]


def no_record_lost(history: History) -> Iterator[str]:
    """What the source has, the warehouse has."""
    for name, there in history.tables.items():
        if missing := there.difference.missing:
            yield f"{name}: {len(missing)} records are missing, such as {missing[0]}"


def table_is_source(history: History) -> Iterator[str]:
    """Every row by the hash of its values; deletions marked."""
    for name, there in history.tables.items():
        found = there.difference
        for what in ("extra", "differing", "unmarked"):
            if ids := getattr(found, what):
                yield f"{name}: {len(ids)} records are {what}, such as {ids[0]}"


def every_run_ends(history: History) -> Iterator[str]:
    """No run is left under way, nor an attempt of one."""
    for run in history.runs:
        if not run.ended:
            yield f"{run.id} is still {run.status}"
    for attempt in history.attempts:
        if attempt.finished is None:
            yield f"attempt {attempt.epoch} of {attempt.run} was never ended"


def one_terminal_event(history: History) -> Iterator[str]:
    """A run that ended said so once, and as what it ended."""
    said = defaultdict(list)
    for event in history.events:
        if event.name == _ENDED:
            said[event.run].append(event.status)
    for run in history.runs:
        if run.ended and said[run.id] != [run.status]:
            yield f"{run.id} is {run.status}, and its events say {said[run.id]}"
        if not run.ended and said[run.id]:
            yield f"{run.id} is {run.status}, and its events say {said[run.id]}"


def nothing_after_the_end(history: History) -> Iterator[str]:
    """A run that ended is not begun again."""
    over = set()
    for event in history.events:
        if event.name != _ENDED and event.run in over:
            yield f"{event.name} of {event.run} after its end"
        if event.name == _ENDED:
            over.add(event.run)


def epochs_rise(history: History) -> Iterator[str]:
    """Each attempt has the next epoch, its own event, and the run the last one's."""
    starts = Counter(event.run for event in history.events if event.name == _STARTED)
    by_run = _by_run(history)
    for run in history.runs:
        epochs = [one.epoch for one in by_run[run.id] if one.epoch]
        if epochs != list(range(1, len(epochs) + 1)) or run.epoch != len(epochs) or starts[run.id] != len(epochs):
            yield f"{run.id} has epoch {run.epoch}, attempts {epochs} and began {starts[run.id]} times"


def leases_never_overlap(history: History) -> Iterator[str]:
    """An integration's next attempt begins when the one before is over."""
    by_integration = defaultdict(list)
    for attempt in history.attempts:
        by_integration[attempt.integration].append(attempt)
    for attempts in by_integration.values():
        for before, after in pairwise(sorted(attempts, key=lambda one: (one.started, one.epoch))):
            until = before.finished or before.lease_until
            if after.started < until:
                yield f"attempt {after.epoch} of {after.run} began while {before.epoch} of {before.run} held on"


def lost_for_a_reason(history: History) -> Iterator[str]:
    """A worker is called lost only where something befell it or the database since it last renewed its lease."""
    for event, attempt in _ends(history):
        if event.kind != "worker_lost":
            continue
        machine = history.workers.get(attempt.worker)
        since = min(attempt.lease_until - history.lease, event.at) - history.lease
        if not any(
            hurt.machine in {None, machine} and hurt.since <= event.at and hurt.until >= since for hurt in history.hurts
        ):
            yield f"attempt {attempt.epoch} of {attempt.run} was called lost although nothing befell its worker"


def state_is_fenced(history: History) -> Iterator[str]:
    """State is written by the attempt that holds the run, while it does."""
    by_key = {(one.run, one.epoch): one for one in history.attempts}
    for state in history.states:
        if state.run is None or state.epoch is None:
            continue
        attempt = by_key.get((state.run, state.epoch))
        if attempt is None or state.at < attempt.started or (attempt.finished and state.at > attempt.finished):
            yield f"state of {state.stream} was written by attempt {state.epoch} of {state.run}, which did not hold it"


def state_never_goes_back(history: History) -> Iterator[str]:
    """A bookmark moves on, unless a person set it or the attempt reads everything again."""
    full = {run.id for run in history.runs if run.full_refresh}
    latest: dict[tuple[str, str], StateSeen] = {}
    for state in history.states:
        key = (state.integration, state.stream)
        before = latest.get(key)
        if state.position is None and state.reason == "run":
            continue
        again = state.run in full and before is not None and (before.run, before.epoch) != (state.run, state.epoch)
        went = before.position if before and before.position and state.reason == "run" and not again else None
        if went and state.position and state.position < went:
            yield f"state of {state.stream} went from {went} back to {state.position}"
        latest[key] = state


def no_process_outlives_its_run(history: History) -> Iterator[str]:
    """A process of a run is gone 5 s after the attempt that began it; a machine does one run at a time."""
    for process in history.processes:
        begun = [
            one
            for one in history.attempts
            if one.epoch and history.workers.get(one.worker) == process.machine and one.started <= process.first
        ]
        if not begun:
            yield f"{process.kind} ({process.pid}) in {process.directory} belongs to no attempt"
            continue
        attempt = max(begun, key=lambda one: one.started)
        if attempt.finished and process.last > attempt.finished + OUTLIVES:
            late = (process.last - attempt.finished).total_seconds()
            yield f"{process.kind} ({process.pid}) lived {late:.1f} s longer than attempt {attempt.epoch} of {attempt.run}"


def nothing_left(history: History) -> Iterator[str]:
    """No run directory, and no secret in clear."""
    yield from history.left


def each_slot_fires_once(history: History) -> Iterator[str]:
    """A slot has one outcome, a fired one its own run, and a schedule starts no run without a slot."""
    twice = Counter((one.schedule, one.slot) for one in history.slots)
    yield from (
        f"slot {slot} of {schedule} was decided {count} times" for (schedule, slot), count in twice.items() if count > 1
    )
    started = Counter(one.run for one in history.slots if one.run)
    yield from (f"{run} was started by {count} slots" for run, count in started.items() if count > 1)
    yield from (f"{run.id} has no slot" for run in history.runs if run.trigger == "schedule" and not started[run.id])


RULES: tuple[Callable[[History], Iterator[str]], ...] = (
    no_record_lost,
    table_is_source,
    every_run_ends,
    one_terminal_event,
    nothing_after_the_end,
    epochs_rise,
    leases_never_overlap,
    lost_for_a_reason,
    state_is_fenced,
    state_never_goes_back,
    no_process_outlives_its_run,
    nothing_left,
    each_slot_fires_once,
)


def _by_run(history: History) -> dict[str, list[AttemptSeen]]:
    found = defaultdict(list)
    for attempt in sorted(history.attempts, key=lambda one: one.epoch):
        found[attempt.run].append(attempt)
    return found


def _ends(history: History) -> Iterator[tuple[EventSeen, AttemptSeen]]:
    """Each event that ends an attempt, with the attempt: the n-th of a run is that of epoch n."""
    by_key = {(one.run, one.epoch): one for one in history.attempts}
    seen: Counter[str] = Counter()
    for event in history.events:
        if event.name in {_RETRYING, _ENDED}:
            seen[event.run] += 1
            attempt = by_key.get((event.run, seen[event.run]))
            if attempt is not None:
                yield event, attempt
