"""What was handed to a worker that is gone goes back at once; one that lets a run lie is handed nothing meanwhile."""

from alembic import op

revision = "2026_11_29_1759"
down_revision = "2026_11_29_1751"
branch_labels = None
depends_on = None

# Runs that were handed over and not claimed for so long, or whose worker is no longer listed, go back into the line;
# what the transport holds for workers that are gone is dropped: a run is claimed once, whoever is handed it. A worker
# that let one lie counts as silent until its next heartbeat, as it may have died. A row that is locked is being claimed.
_REQUEUE = """
DROP FUNCTION orchestrator.requeue_unclaimed(interval);
CREATE FUNCTION orchestrator.requeue_unclaimed(unclaimed interval, alive interval) RETURNS integer
    LANGUAGE sql SECURITY DEFINER SET search_path = orchestrator_queue, pg_catalog, pg_temp
AS $$
    DELETE FROM procrastinate_jobs j WHERE NOT EXISTS (
        SELECT FROM orchestrator.run_queue q WHERE q.worker = j.queue_name AND q.run_id::text = j.args ->> 'run_id');
    WITH late AS (
        SELECT q.org_id, q.run_id, q.worker FROM orchestrator.run_queue q
        WHERE q.dispatched_at > '-infinity' AND (q.dispatched_at < clock_timestamp() - unclaimed
                OR NOT EXISTS (SELECT FROM orchestrator.workers w WHERE w.name = q.worker))
          AND NOT EXISTS (
            SELECT FROM orchestrator.run_attempts a
            WHERE a.org_id = q.org_id AND a.run_id = q.run_id AND a.finished_at IS NULL)
        FOR UPDATE SKIP LOCKED
    ), back AS (
        UPDATE orchestrator.run_queue q SET dispatched_at = NULL, worker = NULL
        FROM late WHERE q.org_id = late.org_id AND q.run_id = late.run_id
        RETURNING late.worker
    ), silent AS (
        UPDATE orchestrator.workers w SET heartbeat_at = least(w.heartbeat_at, clock_timestamp() - alive)
        WHERE w.name IN (SELECT worker FROM back)
    )
    SELECT count(*)::integer FROM back
$$;
REVOKE ALL ON FUNCTION orchestrator.requeue_unclaimed(interval, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION orchestrator.requeue_unclaimed(interval, interval) TO orchestrator_app, orchestrator_worker;
"""


def upgrade() -> None:
    """Replace the function."""
    op.execute(_REQUEUE)
