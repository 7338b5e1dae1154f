"""All SQL about schedules and their slots: rows in, values out; the database's clock and its keys decide."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, func, select, text, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, aliased

from orchestrator.domains.schedules.tables import ScheduleRow, SlotRow
from orchestrator.domains.schedules.types import Due, Misfire, Outcome, Policy, Schedule, Slot, Timing, Verdict
from orchestrator.kernel import ids
from orchestrator.kernel.db import Identifier

_SUCCEEDED = "run.ended.v1"


def _schedule(row: ScheduleRow | Row[Any]) -> Schedule:
    return Schedule(
        org_id=row.org_id,
        id=row.id,
        integration_id=row.integration_id,
        timing=Timing(
            cron=row.cron,
            every=row.every,
            after=row.after_integration_id,
            event=None if row.after_integration_id else row.on_event,
            anchor=row.anchor,
            zone=row.zone,
        ),
        policy=Policy(
            misfire=Misfire(row.misfire), catch_up=row.catch_up, jitter=row.jitter, blackout=tuple(row.blackout)
        ),
        streams=None if row.streams is None else tuple(row.streams),
        paused_at=row.paused_at,
        next_slot=row.next_slot,
        next_fire_at=row.next_fire_at,
        failures=row.failures,
        failure=row.failure,
        retry_at=row.retry_at,
        created_at=row.created_at,
    )


def _values(integration_id: str, timing: Timing, policy: Policy, streams: Sequence[str] | None) -> dict[str, Any]:
    """What is stored of a rule. An event starts a schedule where it is about its own integration."""
    payload = {"integration_id": timing.after or integration_id} | ({"status": "succeeded"} if timing.after else {})
    return {
        "cron": timing.cron,
        "every": timing.every,
        "anchor": timing.anchor,
        "on_event": _SUCCEEDED if timing.after else timing.event,
        "on_payload": {} if timing.by_clock else payload,
        "after_integration_id": timing.after,
        "zone": timing.zone,
        "streams": None if streams is None else list(streams),
        "misfire": policy.misfire.value,
        "catch_up": policy.catch_up,
        "jitter": policy.jitter,
        "blackout": list(policy.blackout),
    }


def now(tx: Session) -> datetime:
    """The database's time."""
    moment: datetime = tx.execute(select(func.clock_timestamp())).scalar_one()
    return moment


def lag(tx: Session) -> timedelta:
    """How long the schedule has been due that is due for longest, of all organizations; by a reviewed function.

    One that is held back is due when it is tried again.
    """
    return timedelta(seconds=tx.execute(text("SELECT orchestrator.scheduler_lag()")).scalar_one())


def insert_schedule(
    tx: Session,
    org_id: str,
    schedule_id: str,
    integration_id: str,
    *,
    timing: Timing,
    policy: Policy,
    streams: Sequence[str] | None,
) -> Schedule:
    """Add a schedule that rests until `move` says when it starts."""
    values = _values(integration_id, timing, policy, streams)
    added = insert(ScheduleRow).values(org_id=org_id, id=schedule_id, integration_id=integration_id, **values)
    return _schedule(tx.scalars(added.returning(ScheduleRow)).one())


def update_schedule(
    tx: Session, schedule: Schedule, *, timing: Timing, policy: Policy, streams: Sequence[str] | None
) -> Schedule:
    """Replace its rule."""
    return _changed(tx, schedule.id, **_values(schedule.integration_id, timing, policy, streams))


def move(tx: Session, schedule_id: str, *, next_slot: datetime | None, next_fire_at: datetime | None) -> Schedule:
    """Say where it goes on, as if it had never failed."""
    well = {"failures": 0, "failure": None, "retry_at": None}
    return _changed(tx, schedule_id, next_slot=next_slot, next_fire_at=next_fire_at, **well)


def pause(tx: Session, schedule_id: str) -> Schedule:
    """Let it rest; next_slot stays, to count from when it is resumed."""
    return _changed(tx, schedule_id, paused_at=func.clock_timestamp(), next_fire_at=None)


def resume(tx: Session, schedule_id: str) -> Schedule:
    """Let it no longer rest."""
    return _changed(tx, schedule_id, paused_at=None)


def mark_deleted(tx: Session, schedule_id: str) -> Schedule:
    """Note that it was deleted, and let it rest for ever."""
    return _changed(tx, schedule_id, deleted_at=func.clock_timestamp(), next_fire_at=None)


def _changed(tx: Session, schedule_id: str, **values: Any) -> Schedule:
    change = update(ScheduleRow).where(ScheduleRow.id == schedule_id)
    row = tx.scalars(
        change.values(**values, updated_at=func.clock_timestamp()).returning(ScheduleRow),
        execution_options={"populate_existing": True},
    ).one()
    return _schedule(row)


def hold(tx: Session, schedule_id: str) -> Schedule | None:
    """The schedule, locked until the transaction ends; None where it was deleted."""
    wanted = select(ScheduleRow).where(ScheduleRow.id == schedule_id, ScheduleRow.deleted_at.is_(None))
    row = tx.scalars(
        wanted.with_for_update(key_share=True), execution_options={"populate_existing": True}
    ).one_or_none()
    return None if row is None else _schedule(row)


def hold_chains(tx: Session, org_id: str) -> None:
    """Until the transaction ends nobody else changes what starts after what in this organization."""
    key = func.hashtextextended(f"orchestrator.chains {org_id}", 0)
    tx.execute(select(func.pg_advisory_xact_lock(key)))


def schedules(tx: Session, *, only: Collection[str] | None = None) -> list[Schedule]:
    """The organization's schedules, by integration and in the order they were added. only: of these integrations."""
    wanted = select(ScheduleRow).where(ScheduleRow.deleted_at.is_(None))
    if only is not None:
        wanted = wanted.where(ScheduleRow.integration_id.in_(only))
    return [_schedule(row) for row in tx.scalars(wanted.order_by(ScheduleRow.integration_id, ScheduleRow.id))]


def schedules_like(tx: Session, beginning: str) -> list[Schedule]:
    """Those whose id starts so."""
    try:
        low, high = ids.bounds("sch", beginning)
    except ValueError:
        return []
    between = ScheduleRow.id.between(ids.encode("sch", low), ids.encode("sch", high))
    wanted = select(ScheduleRow).where(between, ScheduleRow.deleted_at.is_(None))
    return [_schedule(row) for row in tx.scalars(wanted.order_by(ScheduleRow.id).limit(10))]


def _slot(row: SlotRow) -> Slot:
    return Slot(
        org_id=row.org_id,
        schedule_id=row.schedule_id,
        slot=row.slot,
        outcome=Outcome(row.outcome),
        reason=row.reason,
        run_id=row.run_id,
        cause=row.cause,
        until=row.until,
        count=row.count,
        decided_at=row.decided_at,
    )


def slots(tx: Session, schedule_id: str, *, limit: int) -> list[Slot]:
    """What became of its slots, the newest first."""
    wanted = select(SlotRow).where(SlotRow.schedule_id == schedule_id).order_by(SlotRow.slot.desc()).limit(limit)
    return [_slot(row) for row in tx.scalars(wanted)]


def last_slots(tx: Session) -> dict[str, Slot]:
    """The newest slot of every schedule that has one."""
    newest = (
        select(SlotRow)
        .where(SlotRow.org_id == ScheduleRow.org_id, SlotRow.schedule_id == ScheduleRow.id)
        .order_by(SlotRow.slot.desc())
        .limit(1)
        .lateral()
    )
    last = aliased(SlotRow, newest)
    wanted = select(last).select_from(ScheduleRow).join(newest, true()).where(ScheduleRow.deleted_at.is_(None))
    return {row.schedule_id: _slot(row) for row in tx.scalars(wanted)}


_CLAIM = text("SELECT * FROM orchestrator.claim_due_schedules(:most)").columns(
    org_id=Identifier("org"),
    id=Identifier("sch"),
    integration_id=Identifier("int"),
    after_integration_id=Identifier("int"),
)


def claim_due(tx: Session, *, most: int) -> tuple[datetime | None, list[Due]]:
    """Lock schedules of every organization whose time has come, by a reviewed function; and the database's time.

    Those that another scheduler holds are left to it.
    """
    rows = tx.execute(_CLAIM, {"most": most}).all()
    due = [
        Due(schedule=_schedule(row), provider=row.provider, startable=row.startable, waiting=row.waiting)
        for row in rows
    ]
    return (rows[0].now if rows else None), due


_RECORD = text("""
    INSERT INTO orchestrator.schedule_slots (org_id, schedule_id, slot, outcome, reason, until, count)
    SELECT * FROM unnest(CAST(:orgs AS uuid[]), CAST(:schedules AS uuid[]), CAST(:slots AS timestamptz[]),
        CAST(:outcomes AS text[]), CAST(:reasons AS text[]), CAST(:untils AS timestamptz[]), CAST(:counts AS integer[]))
    ON CONFLICT (org_id, schedule_id, slot) DO NOTHING RETURNING schedule_id, slot
""").columns(schedule_id=Identifier("sch"))


def insert_slots(tx: Session, decided: Sequence[Slot]) -> set[tuple[str, datetime]]:
    """Record slots; answers (schedule, slot) of those that nobody had recorded before."""
    if not decided:
        return set()
    values = {
        "orgs": [ids.decode("org", one.org_id) for one in decided],
        "schedules": [ids.decode("sch", one.schedule_id) for one in decided],
        "slots": [one.slot for one in decided],
        "outcomes": [one.outcome.value for one in decided],
        "reasons": [one.reason for one in decided],
        "untils": [one.until for one in decided],
        "counts": [one.count for one in decided],
    }
    return {(schedule_id, slot) for schedule_id, slot in tx.execute(_RECORD, values)}


_SETTLE = text("""
    UPDATE orchestrator.schedule_slots s
    SET outcome = one.outcome, reason = one.reason, run_id = one.run_id, decided_at = clock_timestamp()
    FROM unnest(CAST(:orgs AS uuid[]), CAST(:schedules AS uuid[]), CAST(:slots AS timestamptz[]),
        CAST(:outcomes AS text[]), CAST(:reasons AS text[]), CAST(:runs AS uuid[]))
        AS one (org_id, schedule_id, slot, outcome, reason, run_id)
    WHERE s.org_id = one.org_id AND s.schedule_id = one.schedule_id AND s.slot = one.slot AND s.outcome = 'waiting'
""")


def settle_slots(tx: Session, settled: Sequence[Slot]) -> None:
    """Say what became of slots that waited."""
    if settled:
        tx.execute(
            _SETTLE,
            {
                "orgs": [ids.decode("org", one.org_id) for one in settled],
                "schedules": [ids.decode("sch", one.schedule_id) for one in settled],
                "slots": [one.slot for one in settled],
                "outcomes": [one.outcome.value for one in settled],
                "reasons": [one.reason for one in settled],
                "runs": [None if one.run_id is None else ids.decode("run", one.run_id) for one in settled],
            },
        )


_MOVE = text("""
    UPDATE orchestrator.schedules s SET next_slot = one.next_slot, next_fire_at = one.next_fire_at
    FROM unnest(CAST(:orgs AS uuid[]), CAST(:schedules AS uuid[]), CAST(:slots AS timestamptz[]),
        CAST(:starts AS timestamptz[])) AS one (org_id, schedule_id, next_slot, next_fire_at)
    WHERE s.org_id = one.org_id AND s.id = one.schedule_id
""")


def move_all(tx: Session, decided: Sequence[tuple[Schedule, Verdict]]) -> None:
    """Say where schedules go on."""
    if decided:
        tx.execute(
            _MOVE,
            {
                "orgs": [ids.decode("org", one.org_id) for one, _ in decided],
                "schedules": [ids.decode("sch", one.id) for one, _ in decided],
                "slots": [verdict.next_slot for _, verdict in decided],
                "starts": [verdict.next_fire_at for _, verdict in decided],
            },
        )


def hold_back(tx: Session, schedule_id: str, *, failure: str, delay: timedelta) -> Schedule:
    """Note that it could not be fired; nothing claims it before the delay is over."""
    change = {"failures": ScheduleRow.failures + 1, "failure": failure, "retry_at": func.clock_timestamp() + delay}
    return _changed(tx, schedule_id, **change)


def note_well(tx: Session, schedule_ids: Sequence[str]) -> None:
    """Note of schedules that failed before that they could be fired."""
    change = update(ScheduleRow).where(ScheduleRow.id.in_(schedule_ids))
    tx.execute(change.values(failures=0, failure=None, retry_at=None))


def skip_waiting(tx: Session, schedule_id: str, *, reason: str) -> None:
    """Settle slots that still wait, without a run."""
    change = update(SlotRow).where(SlotRow.schedule_id == schedule_id, SlotRow.outcome == Outcome.WAITING.value)
    tx.execute(change.values(outcome=Outcome.SKIPPED.value, reason=reason, decided_at=func.clock_timestamp()))
