"""Runs of further kinds: backfills of a window, with a state of their own, and dry runs into a scratch schema."""

from alembic import op

revision = "2026_11_29_1522"
down_revision = "2026_11_29_1515"
branch_labels = None
depends_on = None

_COLUMNS = """
ALTER TABLE orchestrator.runs
    ADD COLUMN window_since timestamptz,
    ADD COLUMN window_until timestamptz,
    ADD COLUMN backfill_state JSONB,
    ADD COLUMN scratch_schema TEXT,
    ADD COLUMN keep_scratch BOOLEAN DEFAULT 'false' NOT NULL,
    DROP CONSTRAINT runs_kind_check,
    ADD CONSTRAINT runs_kind_check CHECK (kind IN ('sync', 'backfill', 'dry_run', 'test', 'discover')),
    ADD CONSTRAINT runs_window_check CHECK (CASE kind WHEN 'backfill' THEN coalesce(window_since < window_until, false)
        ELSE window_since IS NULL AND window_until IS NULL END);
DROP INDEX orchestrator.runs_one_active;
CREATE UNIQUE INDEX runs_one_active ON orchestrator.runs (org_id, integration_id)
    WHERE kind IN ('sync', 'backfill', 'dry_run') AND status IN ('queued', 'running', 'retrying', 'cancelling');
CREATE INDEX runs_scratch ON orchestrator.runs (org_id, integration_id) WHERE scratch_schema IS NOT NULL;
"""

# A schedule after another integration waits for its syncs; the rest of an event is as it was.
_CHAIN = """
CREATE OR REPLACE FUNCTION orchestrator.wake_chained() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog
    AS $$
BEGIN
    INSERT INTO orchestrator.schedule_slots (org_id, schedule_id, slot, outcome, cause)
    SELECT s.org_id, s.id, NEW.created_at, 'waiting', coalesce(NEW.payload ->> 'run_id', NEW.id::text)
    FROM orchestrator.schedules s
    WHERE s.org_id = NEW.org_id AND s.on_event = NEW.name AND NEW.payload @> s.on_payload
      AND s.paused_at IS NULL AND s.deleted_at IS NULL
      AND (s.after_integration_id IS NULL OR coalesce(NEW.payload ->> 'kind', 'sync') = 'sync')
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
"""

# As it was, but any active run that reads the source keeps a slot waiting.
_CLAIM = """
CREATE OR REPLACE FUNCTION orchestrator.claim_due_schedules(most integer)
    RETURNS TABLE (now timestamptz, waiting timestamptz, startable boolean, provider text, org_id uuid, id uuid,
        integration_id uuid, cron text, every interval, anchor timestamptz, on_event text, after_integration_id uuid,
        zone text, streams text[], misfire text, catch_up integer, jitter interval, blackout text[],
        paused_at timestamptz, next_slot timestamptz, next_fire_at timestamptz, created_at timestamptz)
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog ROWS 1000
    AS $$
    WITH by_clock AS (
        SELECT NULL::timestamptz AS waiting, s.* FROM orchestrator.schedules s
        WHERE s.next_fire_at <= statement_timestamp()
        ORDER BY s.next_fire_at LIMIT most FOR NO KEY UPDATE SKIP LOCKED
    ), waited AS (
        SELECT w.slot AS waiting, s.* FROM orchestrator.schedule_slots w
        JOIN orchestrator.schedules s ON s.org_id = w.org_id AND s.id = w.schedule_id
        WHERE w.outcome = 'waiting' AND NOT EXISTS (
            SELECT FROM orchestrator.runs r
            WHERE r.org_id = s.org_id AND r.integration_id = s.integration_id AND r.kind IN ('sync', 'backfill', 'dry_run')
              AND r.status IN ('queued', 'running', 'retrying', 'cancelling'))
        ORDER BY w.slot LIMIT most FOR NO KEY UPDATE OF w SKIP LOCKED
    ), due AS (
        SELECT * FROM by_clock UNION ALL SELECT * FROM waited
    )
    SELECT statement_timestamp(), due.waiting, i.enabled AND i.deleted_at IS NULL, i.type, due.org_id, due.id,
           due.integration_id, due.cron, due.every, due.anchor, due.on_event, due.after_integration_id, due.zone,
           due.streams, due.misfire, due.catch_up, due.jitter, due.blackout, due.paused_at, due.next_slot,
           due.next_fire_at, due.created_at
    FROM due JOIN orchestrator.integrations i ON i.org_id = due.org_id AND i.id = due.integration_id
    $$;
"""


def upgrade() -> None:
    """Add the columns, and let all three kinds count as the one active run of an integration."""
    op.execute(_COLUMNS)
    op.execute(_CHAIN)
    op.execute(_CLAIM)
