"""Reads what happened: out of Postgres as its superuser, who sees every row, and out of the process table."""

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Self

from pydantic import SecretStr
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from orchestrator.domains.runs.tables import AttemptRow, RunRow, StreamStateRow
from orchestrator.domains.runs.types import RunStatus
from orchestrator.domains.schedules.tables import ScheduleRow, SlotRow
from orchestrator.kernel import ids
from orchestrator.kernel.db import engine
from orchestrator.kernel.events import EventRow
from tests.chaos.history import AttemptSeen, EventSeen, ProcessSeen, RunSeen, SlotSeen, StateSeen
from tests.chaos.machines import Machine

_LOOK_EVERY = 0.4  # seconds


def recorded(superuser: SecretStr, integration_ids: Sequence[str]) -> dict[str, Any]:
    """What the control plane knows of these integrations, as parts of a History."""
    pool = engine(superuser)
    try:
        with Session(pool) as tx:
            runs = tx.scalars(select(RunRow).where(RunRow.integration_id.in_(integration_ids))).all()
            by_id = {run.id: run for run in runs}
            attempts = tx.scalars(select(AttemptRow).where(AttemptRow.run_id.in_(by_id))).all()
            events = tx.scalars(select(EventRow).order_by(EventRow.created_at, EventRow.id)).all()
            wanted = select(StreamStateRow).where(StreamStateRow.integration_id.in_(integration_ids))
            states = tx.scalars(wanted.order_by(StreamStateRow.id)).all()
            fired = select(SlotRow).join(ScheduleRow, ScheduleRow.id == SlotRow.schedule_id)
            slots = tx.scalars(fired.where(ScheduleRow.integration_id.in_(integration_ids))).all()
            return {
                "runs": tuple(_run(row) for row in runs),
                "attempts": tuple(_attempt(row, by_id[row.run_id].integration_id) for row in attempts),
                "events": tuple(_event(row) for row in events if row.payload.get("run_id") in by_id),
                "states": tuple(_state(row) for row in states),
                "slots": tuple(
                    SlotSeen(schedule=row.schedule_id, slot=row.slot, outcome=row.outcome, run=row.run_id)
                    for row in slots
                ),
            }
    finally:
        pool.dispose()


_EVERYTHING = {
    "runs": "id::text = :run",
    "run_attempts": "run_id::text = :run",
    "run_streams": "run_id::text = :run",
    "integration_sync_logs": "run_id::text = :run",
    "stream_states": "run_id::text = :run",
    "events": "payload ->> 'run_id' = :name",
}


def all_of(superuser: SecretStr, run_id: str) -> dict[str, list[str]]:
    """Every row of a run, as text, by table."""
    pool = engine(superuser)
    names = {"run": str(ids.decode("run", run_id)), "name": run_id}
    try:
        with pool.connect() as connection:
            return {
                table: sorted(
                    connection.scalars(text(f"SELECT t::text FROM orchestrator.{table} t WHERE {which}"), names)
                )
                for table, which in _EVERYTHING.items()
            }
    finally:
        pool.dispose()


def _run(row: RunRow) -> RunSeen:
    return RunSeen(
        id=row.id,
        integration=row.integration_id,
        status=row.status,
        ended=RunStatus(row.status).ended,
        epoch=row.epoch,
        trigger=row.trigger,
        full_refresh=row.full_refresh,
    )


def _attempt(row: AttemptRow, integration_id: str) -> AttemptSeen:
    return AttemptSeen(
        run=row.run_id,
        integration=integration_id,
        epoch=row.epoch,
        worker=row.worker,
        started=row.started_at,
        finished=row.finished_at,
        lease_until=row.lease_until,
    )


def _event(row: EventRow) -> EventSeen:
    failure = row.payload.get("failure") or {}
    return EventSeen(
        name=row.name,
        run=row.payload["run_id"],
        at=row.created_at,
        status=row.payload.get("status"),
        kind=failure.get("kind"),
    )


def _state(row: StreamStateRow) -> StateSeen:
    return StateSeen(
        integration=row.integration_id,
        stream=row.stream,
        position=_position(row.bookmark or {}),
        reason=row.reason,
        run=row.run_id,
        epoch=row.epoch,
        at=row.at,
    )


def _position(bookmark: Mapping[str, Any]) -> str | None:
    inner = bookmark.get("partial") or bookmark.get("completed") or {}
    return inner.get("replication_key_value")


class Watcher:
    """Looks at the process table all the time, and remembers which processes of runs it saw from when to when."""

    def __init__(self, machines: Sequence[Machine]) -> None:
        self.machines = list(machines)
        self._seen: dict[tuple[str, str, int], ProcessSeen] = {}
        self._looking = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def since(self, moment: datetime) -> tuple[ProcessSeen, ...]:
        """What was seen of processes that were new then or later, up to this moment."""
        self._look_around()
        return tuple(one for one in list(self._seen.values()) if one.first >= moment)

    def _watch(self) -> None:
        while not self._over.wait(_LOOK_EVERY):
            self._look_around()

    def _look_around(self) -> None:
        with self._looking:
            for machine in self.machines:
                self._look(machine)

    def _look(self, machine: Machine) -> None:
        found, now = machine.processes(), datetime.now(UTC)
        for pid, (kind, directory) in found.items():
            key = (machine.name, directory, pid)
            first = self._seen[key].first if key in self._seen else now
            self._seen[key] = ProcessSeen(
                machine=machine.name, directory=directory, pid=pid, kind=kind, first=first, last=now
            )
