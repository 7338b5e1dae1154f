"""A slot that waited is claimed with its schedule, so that schedulers wait for each other nowhere."""

from alembic import op

revision = "2026_11_29_2049"
down_revision = "2026_11_29_2048"
branch_labels = None
depends_on = None

# As before, but for the lock on the schedule of a slot that waited: two schedulers that held back, each by the clock,
# what the other had a waiting slot of, waited for each other.
_CLAIM = """
CREATE OR REPLACE FUNCTION orchestrator.claim_due_schedules(most integer)
    RETURNS TABLE (now timestamptz, waiting timestamptz, startable boolean, provider text, org_id uuid, id uuid,
        integration_id uuid, cron text, every interval, anchor timestamptz, on_event text, after_integration_id uuid,
        zone text, streams text[], misfire text, catch_up integer, jitter interval, blackout text[],
        paused_at timestamptz, next_slot timestamptz, next_fire_at timestamptz, failures integer, failure text,
        retry_at timestamptz, created_at timestamptz)
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp ROWS 1000
    AS $$
    WITH by_clock AS (
        SELECT NULL::timestamptz AS waiting, s.* FROM orchestrator.schedules s
        WHERE s.next_fire_at <= statement_timestamp()
          AND (s.retry_at IS NULL OR s.retry_at <= statement_timestamp())
        ORDER BY s.next_fire_at LIMIT most FOR NO KEY UPDATE SKIP LOCKED
    ), waited AS (
        SELECT w.slot AS waiting, s.* FROM orchestrator.schedule_slots w
        JOIN orchestrator.schedules s ON s.org_id = w.org_id AND s.id = w.schedule_id
        WHERE w.outcome = 'waiting' AND (s.retry_at IS NULL OR s.retry_at <= statement_timestamp())
          AND NOT EXISTS (
            SELECT FROM orchestrator.runs r
            WHERE r.org_id = s.org_id AND r.integration_id = s.integration_id AND r.kind = 'sync'
              AND r.status IN ('queued', 'running', 'retrying', 'cancelling'))
        ORDER BY w.slot LIMIT most FOR NO KEY UPDATE OF w, s SKIP LOCKED
    ), due AS (
        SELECT * FROM by_clock UNION ALL SELECT * FROM waited
    )
    SELECT statement_timestamp(), due.waiting, i.enabled AND i.deleted_at IS NULL, i.type, due.org_id, due.id,
           due.integration_id, due.cron, due.every, due.anchor, due.on_event, due.after_integration_id, due.zone,
           due.streams, due.misfire, due.catch_up, due.jitter, due.blackout, due.paused_at, due.next_slot,
           due.next_fire_at, due.failures, due.failure, due.retry_at, due.created_at
    FROM due JOIN orchestrator.integrations i ON i.org_id = due.org_id AND i.id = due.integration_id
    $$
"""


def upgrade() -> None:
    """Replace the function; who may call it stays."""
    op.execute(_CLAIM)
