"""The line of detached runs: who waits, who holds a slot."""

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.orm import Session

from orchestrator.domains.runs.queries.values import as_run
from orchestrator.domains.runs.tables import QueueRow
from orchestrator.domains.runs.types import PlaceInLine, Run, RunRequest
from orchestrator.kernel import ids
from orchestrator.kernel.db import Identifier

# One statement and one array a column, whatever the number of runs.
_ENQUEUE = text("""
    WITH wanted AS (
        SELECT * FROM unnest(CAST(:orgs AS uuid[]), CAST(:ids AS uuid[]), CAST(:integrations AS uuid[]),
            CAST(:providers AS text[]), CAST(:triggers AS text[]), CAST(:streams AS jsonb[]), CAST(:full AS boolean[]),
            CAST(:timeouts AS interval[]), CAST(:retries AS uuid[]), CAST(:kinds AS text[]),
            CAST(:since AS timestamptz[]), CAST(:until AS timestamptz[]), CAST(:keeps AS boolean[]))
            AS one (org_id, id, integration_id, provider, trigger, streams, full_refresh, timeout, retry_of, kind,
                window_since, window_until, keep_scratch)
    ), made AS (
        INSERT INTO orchestrator.runs
            (org_id, id, integration_id, trigger, streams, full_refresh, timeout, detached, retry_of, kind,
                window_since, window_until, keep_scratch, backfill_state)
        SELECT org_id, id, integration_id, trigger,
            CASE WHEN streams IS NOT NULL THEN ARRAY(SELECT jsonb_array_elements_text(streams)) END,
            full_refresh, timeout, true, retry_of, kind, window_since, window_until, keep_scratch,
            (SELECT ended.backfill_state FROM orchestrator.runs ended
                WHERE ended.org_id = wanted.org_id AND ended.id = wanted.retry_of)
        FROM wanted
        ON CONFLICT (org_id, integration_id)
            WHERE kind IN ('sync', 'backfill', 'dry_run')
                AND status IN ('queued', 'running', 'retrying', 'cancelling') DO NOTHING
        RETURNING *
    ), placed AS (
        INSERT INTO orchestrator.run_queue (org_id, run_id, provider)
        SELECT made.org_id, made.id, wanted.provider FROM made JOIN wanted USING (org_id, id)
    )
    SELECT * FROM made
""").columns(
    org_id=Identifier("org"), id=Identifier("run"), integration_id=Identifier("int"), retry_of=Identifier("run")
)


def enqueue(tx: Session, requests: Sequence[RunRequest], *, timeout: timedelta) -> Mapping[str, Run | None]:
    """Queue runs for workers, by integration; None where it has an active run, which then stays, or was deleted.

    timeout: of requests that name none
    """
    if not requests:
        return {}
    values = {
        "orgs": [ids.decode("org", one.org_id) for one in requests],
        "ids": [ids.uuid7() for _ in requests],
        "integrations": [ids.decode("int", one.integration_id) for one in requests],
        "providers": [one.provider for one in requests],
        "triggers": [one.trigger for one in requests],
        "streams": [None if one.streams is None else json.dumps(one.streams) for one in requests],
        "full": [one.full_refresh for one in requests],
        "timeouts": [one.timeout or timeout for one in requests],
        "retries": [None if one.retry_of is None else ids.decode("run", one.retry_of) for one in requests],
        "kinds": [one.kind.value for one in requests],
        "since": [None if one.window is None else one.window.since for one in requests],
        "until": [None if one.window is None else one.window.until for one in requests],
        "keeps": [one.keep_scratch for one in requests],
    }
    made = {row.integration_id: as_run(row) for row in tx.execute(_ENQUEUE, values)}
    return {one.integration_id: made.get(one.integration_id) for one in requests}


def leave(tx: Session, run_id: str) -> None:
    """Give up a run's place and slot; harmless where it has none."""
    tx.execute(delete(QueueRow).where(QueueRow.run_id == run_id))


def wait_again(tx: Session, run_id: str, *, delay: timedelta, counts: bool) -> None:
    """Give the slot back and wait in line again, not to be tried before `delay` is over.

    counts: whether the attempt that ends here counts as one of the run's attempts
    """
    change = update(QueueRow).where(QueueRow.run_id == run_id)
    tx.execute(
        change.values(
            dispatched_at=None,
            worker=None,
            not_before=func.clock_timestamp() + delay,
            attempts=QueueRow.attempts - (0 if counts else 1),
        )
    )


def count_attempt(tx: Session, run_id: str, *, worker: str) -> int:
    """One attempt more, in a slot of this worker; answers how many there were, 0 for a run without a place in line."""
    change = update(QueueRow).where(QueueRow.run_id == run_id)
    held = {"worker": worker, "dispatched_at": func.coalesce(QueueRow.dispatched_at, func.clock_timestamp())}
    return tx.scalar(change.values(**held, attempts=QueueRow.attempts + 1).returning(QueueRow.attempts)) or 0


def attempts(tx: Session, run_id: str) -> int:
    """How many attempts at a run counted so far; 0 where it has no place in the line."""
    return tx.scalar(select(QueueRow.attempts).where(QueueRow.run_id == run_id)) or 0


def dispatch(tx: Session, *, total: int, per_org: int, per_provider: int, alive: timedelta) -> int:
    """Hand waiting runs to free slots in fair turns, across organizations; answers how many.

    total:  slots at most, however many workers there are
    alive:  how recent a worker's heartbeat must be for its slots to count
    """
    call = text("SELECT orchestrator.dispatch(:total, :per_org, :per_provider, :alive)")
    return int(tx.scalar(call, {"total": total, "per_org": per_org, "per_provider": per_provider, "alive": alive}) or 0)


def place(tx: Session, run_id: str, *, alive: timedelta) -> PlaceInLine | None:
    """Where a run stands; None where it doesn't wait for a worker."""
    call = text("SELECT * FROM orchestrator.place_in_line(:run, :alive)")
    row = tx.execute(call, {"run": ids.decode("run", run_id), "alive": alive}).one_or_none()
    return None if row is None else PlaceInLine(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it


def requeue_unclaimed(tx: Session, *, after: timedelta, alive: timedelta) -> int:
    """Put runs back into the line that were handed over and not claimed for so long; answers how many.

    Those whose worker is no longer listed at once. One that let a run lie is handed nothing before its next heartbeat.

    alive:  how recent a worker's heartbeat must be for its slots to count
    """
    call = text("SELECT orchestrator.requeue_unclaimed(:after, :alive)")
    return int(tx.scalar(call, {"after": after, "alive": alive}) or 0)
