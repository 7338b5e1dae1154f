"""One tick of the scheduler: what is due is decided, recorded and queued in one transaction, batch by batch.

Any number of schedulers may tick at once: each locks what it claims and leaves the rest to the others, and the key of
a slot lets nobody record it, and so queue its run, twice.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import groupby
from operator import itemgetter

from sqlalchemy.orm import Session

from orchestrator.domains.runs import service as runs
from orchestrator.domains.runs.types import Run, RunRequest
from orchestrator.domains.schedules import queries, rules
from orchestrator.domains.schedules.events import SlotsMissed
from orchestrator.domains.schedules.types import Due, Fired, Outcome, Slot, Verdict
from orchestrator.drivers.bundle import Drivers
from orchestrator.kernel.db import work_as
from orchestrator.kernel.errors import InvalidConfigError
from orchestrator.kernel.events import emit

_BATCH = 500  # schedules a transaction: few enough that four schedulers share 10,000, many enough to cost little each
_MOST_BATCHES = 10  # a tick: a worker has more to do each second than this; what is left is for the next
_TRIGGER = "schedule"


def fire_due(drivers: Drivers) -> Fired:
    """Start what is due, of every organization; answers how slots ended. Costs one look at two indexes where none is.

    Runs are queued for workers; `runs.dispatch` hands them out. The database's clock says what is due.
    """
    total = Fired()
    for _ in range(_MOST_BATCHES):
        with drivers.db.anonymous() as tx:
            now, due = queries.claim_due(tx, most=_BATCH)
            if now is None:
                return total
            for org_id, theirs in groupby(sorted(due, key=_organization), key=_organization):
                work_as(tx, org_id)
                total += _fire(drivers, tx, org_id, list(theirs), now)
        if len(due) < _BATCH:
            break
    return total


def _fire(drivers: Drivers, tx: Session, org_id: str, due: Sequence[Due], now: datetime) -> Fired:
    """Everything that is due of one organization; the transaction works as it."""
    verdicts = {one.schedule.id: _decided(tx, one, now) for one in due if one.waiting is None}
    decided = [slot for verdict in verdicts.values() for slot in verdict.slots]
    fresh = queries.insert_slots(tx, org_id, decided)
    wanting = [
        replace(one, waiting=verdicts[one.schedule.id].fire)
        for one in due
        if one.waiting is None and (one.schedule.id, verdicts[one.schedule.id].fire) in fresh
    ]
    settled: list[Slot] = []
    for _, waiting in groupby(sorted((one for one in due if one.waiting), key=_schedule), key=_schedule):
        given_up, chosen = rules.decide_waiting(list(waiting), now)
        settled += given_up
        wanting += [chosen] if chosen else []
    settled += _queued(drivers, tx, org_id, wanting)
    queries.settle_slots(tx, settled)
    queries.move_all(tx, {one: (verdict.next_slot, verdict.next_fire_at) for one, verdict in verdicts.items()})
    _tell_missed(tx, due, decided)
    return _counted(decided, settled)


def _decided(tx: Session, due: Due, now: datetime) -> Verdict:
    """The verdict; a schedule that nobody can read any more, such as one whose zone is gone, is paused and says why."""
    try:
        return rules.decide(due, now)
    except InvalidConfigError as error:
        queries.pause(tx, due.schedule.id)
        slot = Slot(
            schedule_id=due.schedule.id,
            slot=due.schedule.next_slot or now,
            outcome=Outcome.SKIPPED,
            reason=f"paused: {error.message}",
        )
        return Verdict(slots=(slot,), fire=None, next_slot=due.schedule.next_slot, next_fire_at=None)


def _queued(drivers: Drivers, tx: Session, org_id: str, wanting: Sequence[Due]) -> list[Slot]:
    """Queue one run for each integration, of whoever reads most; what becomes of the slots. Some go on waiting."""
    first: dict[str, Due] = {}
    for one in sorted(wanting, key=rules.broadest_first):
        first.setdefault(one.schedule.integration_id, one)
    requests = [
        RunRequest(
            integration_id=one.schedule.integration_id,
            provider=one.provider,
            trigger=_TRIGGER,
            streams=one.schedule.streams,
        )
        for _, one in sorted(first.items(), key=itemgetter(0))  # all in one order, so that schedulers never deadlock
    ]
    made = runs.enqueue(drivers, tx, org_id, requests)
    busy = [integration_id for integration_id, run in made.items() if run is None]
    under_way: dict[str, Run] = {run.integration_id: run for run in runs.under_way(tx, busy)}
    ends = []
    for one in wanting:
        run = made[one.schedule.integration_id]
        if run is not None and first[one.schedule.integration_id] is one:
            ends.append(rules.settled(one, Outcome.FIRED, run_id=run.id))
            continue
        active = run or under_way.get(one.schedule.integration_id)
        if active is not None and rules.covered(one.schedule, active.streams):
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
    tx.flush()  # while the transaction still works as their organization


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


def _organization(due: Due) -> str:
    return due.schedule.org_id


def _schedule(due: Due) -> str:
    return due.schedule.id
