"""One tick of the scheduler: what is due is decided, recorded and queued in one transaction, batch by batch.

Any number of schedulers may tick at once: each locks what it claims and leaves the rest to the others, and the key of
a slot lets nobody record it, and so queue its run, twice.

Where a batch can't be fired, its halves are, and theirs, until the schedule that is the reason is left alone; it is
held back, and says so.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import groupby
from operator import itemgetter

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session

from orchestrator.domains.runs import service as runs
from orchestrator.domains.runs.types import Run, RunKind, RunRequest
from orchestrator.domains.schedules import queries, rules
from orchestrator.domains.schedules.events import ScheduleFailed, SlotsMissed
from orchestrator.domains.schedules.types import Due, Fired, Outcome, Schedule, Slot
from orchestrator.drivers.bundle import Drivers
from orchestrator.kernel.db import Role, work_for
from orchestrator.kernel.errors import InvalidConfigError
from orchestrator.kernel.events import emit

log = logging.getLogger(__name__)
_BATCH = 500  # schedules a transaction: few enough that four schedulers share 10,000, many enough to cost little each
_MOST_BATCHES = 10  # a tick: a worker has more to do each second than this; what is left is for the next
_TRIGGER = "schedule"


def fire_due(drivers: Drivers) -> Fired:
    """Start what is due, of every organization; answers how slots ended. Costs one look at two indexes where none is.

    Runs are queued for workers; `runs.dispatch` hands them out. The database's clock says what is due.
    """
    total = Fired()
    for _ in range(_MOST_BATCHES):
        with drivers.db.anonymous(role=Role.SCHEDULER) as tx:
            now, due = queries.claim_due(tx, most=_BATCH)
            if now is None:
                return total
            work_for(tx, {one.schedule.org_id for one in due})
            total += _fire_apart(drivers, tx, due, now)
        if len(due) < _BATCH:
            break
    return total


def _fire_apart(drivers: Drivers, tx: Session, due: Sequence[Due], now: datetime) -> Fired:
    """Fire a batch; where something unforeseen is in the way, whatever of it can be, and hold the rest back."""
    try:
        with tx.begin_nested():
            fired = _fire(drivers, tx, due, now)
            if mended := {one.schedule.id for one in due if one.schedule.failures}:
                queries.note_well(tx, sorted(mended))
            return fired
    except (OperationalError, InterfaceError):  # the database's trouble is no schedule's; all are tried again soon
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the other schedules must not wait for it
        parts = [list(slots) for _, slots in groupby(sorted(due, key=_in_order), key=_schedule)]
        if len(parts) == 1:
            _hold_back(tx, due[0].schedule, error)
            return Fired()
    middle = len(parts) // 2
    halves = [[one for part in half for one in part] for half in (parts[:middle], parts[middle:])]
    return _fire_apart(drivers, tx, halves[0], now) + _fire_apart(drivers, tx, halves[1], now)


def _hold_back(tx: Session, schedule: Schedule, error: Exception) -> None:
    """Try it again later, and say so once; what nobody foresaw by its kind alone, as an error may quote anything.

    One that nobody can read any more, such as one whose zone is gone, stays so until a person or an update mends it.
    """
    foreseen = isinstance(error, InvalidConfigError)
    failure = (
        str(error) if foreseen else f"Something unexpected went wrong in orchestrator itself ({type(error).__name__})."
    )
    held = queries.hold_back(tx, schedule.id, failure=failure, delay=rules.held_back(schedule.failures))
    said = "%s can't be fired, and is tried again at %s: %s"
    log.error(said, held.id, held.retry_at, failure, exc_info=None if foreseen else error)
    if schedule.failures == 0 and held.retry_at is not None:
        fact = ScheduleFailed(
            org_id=held.org_id,
            schedule_id=held.id,
            integration_id=held.integration_id,
            reason=failure,
            retry_at=held.retry_at.isoformat(),
        )
        emit(tx, fact)


def _fire(drivers: Drivers, tx: Session, due: Sequence[Due], now: datetime) -> Fired:
    """Everything of a batch, whose organizations the transaction sees: a few statements, however many they are."""
    verdicts = [(one, rules.decide(one, now)) for one in due if one.waiting is None]
    decided = [slot for _, verdict in verdicts for slot in verdict.slots]
    fresh = queries.insert_slots(tx, decided)
    wanting = [
        replace(one, waiting=verdict.fire) for one, verdict in verdicts if (one.schedule.id, verdict.fire) in fresh
    ]
    settled: list[Slot] = []
    for _, waiting in groupby(sorted((one for one in due if one.waiting), key=_schedule), key=_schedule):
        given_up, chosen = rules.decide_waiting(list(waiting), now)
        settled += given_up
        wanting += [chosen] if chosen else []
    settled += _queued(drivers, tx, wanting)
    queries.settle_slots(tx, settled)
    queries.move_all(tx, [(one.schedule, verdict) for one, verdict in verdicts])
    _tell_missed(tx, due, decided)
    return _counted(decided, settled)


def _queued(drivers: Drivers, tx: Session, wanting: Sequence[Due]) -> list[Slot]:
    """Queue one run for each integration, of whoever reads most; what becomes of the slots. Some go on waiting."""
    first: dict[str, Due] = {}
    for one in sorted(wanting, key=rules.broadest_first):
        first.setdefault(one.schedule.integration_id, one)
    requests = [
        RunRequest(
            org_id=one.schedule.org_id,
            integration_id=one.schedule.integration_id,
            provider=one.provider,
            trigger=_TRIGGER,
            streams=one.schedule.streams,
        )
        for _, one in sorted(first.items(), key=itemgetter(0))  # all in one order, so that schedulers never deadlock
    ]
    made = runs.enqueue(drivers, tx, requests)
    busy = [(one.org_id, one.integration_id) for one in requests if made[one.integration_id] is None]
    under_way: dict[str, Run] = {run.integration_id: run for run in runs.under_way(tx, busy)}
    ends = []
    for one in wanting:
        run = made[one.schedule.integration_id]
        if run is not None and first[one.schedule.integration_id] is one:
            ends.append(rules.settled(one, Outcome.FIRED, run_id=run.id))
            continue
        active = run or under_way.get(one.schedule.integration_id)
        syncs = active is not None and active.kind is RunKind.SYNC
        if active is not None and syncs and rules.covered(one.schedule, active.streams):
            ends.append(rules.settled(one, Outcome.OVERLAPPED, rules.BUSY))
    return ends


def _tell_missed(tx: Session, due: Sequence[Due], decided: Iterable[Slot]) -> None:
    about = {one.schedule.id: one.schedule for one in due}
    for slot in decided:
        if slot.outcome is Outcome.MISSED:
            schedule = about[slot.schedule_id]
            missed = SlotsMissed(
                org_id=schedule.org_id,
                schedule_id=schedule.id,
                integration_id=schedule.integration_id,
                first=slot.slot.isoformat(),
                last=(slot.until or slot.slot).isoformat(),
                count=slot.count,
                reason=slot.reason,
            )
            emit(tx, missed)


def _counted(decided: Iterable[Slot], settled: Iterable[Slot]) -> Fired:
    ends = Counter[Outcome]()
    for slot in (*decided, *settled):
        ends[slot.outcome] += slot.count
    return Fired(
        fired=ends[Outcome.FIRED],
        overlapped=ends[Outcome.OVERLAPPED],
        missed=ends[Outcome.MISSED],
        skipped=ends[Outcome.SKIPPED],
    )


def _in_order(due: Due) -> tuple[str, str]:
    """As runs are queued, so that schedulers that fire in parts never wait for each other crosswise."""
    return due.schedule.integration_id, due.schedule.id


def _schedule(due: Due) -> str:
    return due.schedule.id
