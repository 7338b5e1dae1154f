"""A schedule that can't be fired for a reason nobody foresaw is held back by itself, later each time."""

from alembic import op

revision = "2026_11_29_1720"
down_revision = "2026_11_29_1626"
branch_labels = None
depends_on = None

_COLUMNS = """
ALTER TABLE orchestrator.schedules
    ADD COLUMN failures INTEGER DEFAULT '0' NOT NULL,
    ADD COLUMN failure TEXT,
    ADD COLUMN retry_at timestamptz,
    ADD CONSTRAINT schedules_failing_check CHECK (num_nulls(failure, retry_at) = CASE failures WHEN 0 THEN 2 ELSE 0 END);
"""

# What is due, of every organization, locked for the caller's transaction; the caller works on as each of them. As
# before, but for those that are held back.
_CLAIM = """
DROP FUNCTION orchestrator.claim_due_schedules(integer);
CREATE FUNCTION orchestrator.claim_due_schedules(most integer)
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
        ORDER BY w.slot LIMIT most FOR NO KEY UPDATE OF w SKIP LOCKED
    ), due AS (
        SELECT * FROM by_clock UNION ALL SELECT * FROM waited
    )
    SELECT statement_timestamp(), due.waiting, i.enabled AND i.deleted_at IS NULL, i.type, due.org_id, due.id,
           due.integration_id, due.cron, due.every, due.anchor, due.on_event, due.after_integration_id, due.zone,
           due.streams, due.misfire, due.catch_up, due.jitter, due.blackout, due.paused_at, due.next_slot,
           due.next_fire_at, due.failures, due.failure, due.retry_at, due.created_at
    FROM due JOIN orchestrator.integrations i ON i.org_id = due.org_id AND i.id = due.integration_id
    $$;
REVOKE ALL ON FUNCTION orchestrator.claim_due_schedules(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION orchestrator.claim_due_schedules(integer) TO orchestrator_scheduler;
"""


def upgrade() -> None:
    """Give schedules a place for their trouble, and claim those in trouble only when they are tried again."""
    op.execute(_COLUMNS)
    op.execute(_CLAIM)
