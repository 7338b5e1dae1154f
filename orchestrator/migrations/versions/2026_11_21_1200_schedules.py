"""Schedules and their slots; events wake chained schedules in the transaction that made them true."""

from alembic import op

revision = "2026_11_21_1200"
down_revision = "2026_11_21_1130"
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE orchestrator.schedules (
    org_id UUID NOT NULL,
    id UUID NOT NULL,
    integration_id UUID NOT NULL,
    cron TEXT,
    every INTERVAL,
    anchor timestamptz,
    on_event TEXT,
    on_payload JSONB DEFAULT '{}' NOT NULL,
    after_integration_id UUID,
    zone TEXT NOT NULL,
    streams TEXT[],
    misfire TEXT NOT NULL,
    catch_up INTEGER DEFAULT '0' NOT NULL,
    jitter INTERVAL DEFAULT '0' NOT NULL,
    blackout TEXT[] DEFAULT '{}' NOT NULL,
    paused_at timestamptz,
    next_slot timestamptz,
    next_fire_at timestamptz,
    created_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    updated_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    deleted_at timestamptz,
    PRIMARY KEY (org_id, id),
    CONSTRAINT schedules_org_id_integration_id_fkey FOREIGN KEY(org_id, integration_id) REFERENCES orchestrator.integrations (org_id, id),
    CONSTRAINT schedules_org_id_after_integration_id_fkey FOREIGN KEY(org_id, after_integration_id) REFERENCES orchestrator.integrations (org_id, id),
    CONSTRAINT schedules_one_trigger_check CHECK (num_nonnulls(cron, every, on_event) = 1),
    CONSTRAINT schedules_chained_check CHECK (after_integration_id IS NULL OR on_event IS NOT NULL),
    CONSTRAINT schedules_every_check CHECK (every IS NULL OR (every >= '1 minute' AND anchor IS NOT NULL)),
    CONSTRAINT schedules_misfire_check CHECK (misfire IN ('run_once', 'skip', 'catch_up')),
    CONSTRAINT schedules_catch_up_check CHECK (catch_up BETWEEN 0 AND 100)
);
CREATE INDEX schedules_due ON orchestrator.schedules (next_fire_at) WHERE next_fire_at IS NOT NULL;
CREATE INDEX schedules_of_integration ON orchestrator.schedules (org_id, integration_id);
CREATE INDEX schedules_on_event ON orchestrator.schedules (org_id, on_event) WHERE on_event IS NOT NULL;

CREATE TABLE orchestrator.schedule_slots (
    org_id UUID NOT NULL,
    schedule_id UUID NOT NULL,
    slot timestamptz NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT DEFAULT '' NOT NULL,
    run_id UUID,
    cause TEXT,
    until timestamptz,
    count INTEGER DEFAULT '1' NOT NULL,
    decided_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (org_id, schedule_id, slot),
    CONSTRAINT schedule_slots_org_id_schedule_id_fkey FOREIGN KEY(org_id, schedule_id) REFERENCES orchestrator.schedules (org_id, id),
    CONSTRAINT schedule_slots_org_id_run_id_fkey FOREIGN KEY(org_id, run_id) REFERENCES orchestrator.runs (org_id, id),
    CONSTRAINT schedule_slots_outcome_check CHECK (outcome IN ('waiting', 'fired', 'overlapped', 'missed', 'skipped')),
    CONSTRAINT schedule_slots_fired_check CHECK ((outcome = 'fired') = (run_id IS NOT NULL)),
    CONSTRAINT schedule_slots_cause_key UNIQUE (org_id, schedule_id, cause)
);
CREATE INDEX schedule_slots_waiting ON orchestrator.schedule_slots (slot) WHERE outcome = 'waiting';
"""

_SECURITY = """
ALTER TABLE orchestrator.{table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE orchestrator.{table} FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON orchestrator.{table}
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid)
    WITH CHECK (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
CREATE POLICY across ON orchestrator.{table} FOR SELECT TO orchestrator_owner USING (true);
CREATE POLICY lock_across ON orchestrator.{table} FOR UPDATE TO orchestrator_owner USING (true) WITH CHECK (false);
"""

# A worker writes slots only because the events it emits wake chained schedules.
_GRANTS = """
GRANT SELECT, INSERT, UPDATE ON orchestrator.schedules, orchestrator.schedule_slots TO orchestrator_app;
GRANT SELECT ON orchestrator.schedules TO orchestrator_worker;
GRANT SELECT, INSERT ON orchestrator.schedule_slots TO orchestrator_worker;
CREATE POLICY across ON orchestrator.integrations FOR SELECT TO orchestrator_owner USING (true);
CREATE POLICY across ON orchestrator.runs FOR SELECT TO orchestrator_owner USING (true);
"""

# Runs as whoever emits the event, under its rights and its organization.
_CHAIN = """
CREATE FUNCTION orchestrator.wake_chained() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog
    AS $$
BEGIN
    INSERT INTO orchestrator.schedule_slots (org_id, schedule_id, slot, outcome, cause)
    SELECT s.org_id, s.id, NEW.created_at, 'waiting', coalesce(NEW.payload ->> 'run_id', NEW.id::text)
    FROM orchestrator.schedules s
    WHERE s.org_id = NEW.org_id AND s.on_event = NEW.name AND NEW.payload @> s.on_payload
      AND s.paused_at IS NULL AND s.deleted_at IS NULL
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER wake_chained AFTER INSERT ON orchestrator.events
    FOR EACH ROW EXECUTE FUNCTION orchestrator.wake_chained();
"""

# What is due, of every organization, locked for the caller's transaction; the caller works on as each of them.
#
# It locks and changes nothing. statement_timestamp() is the database's clock and, other than clock_timestamp(), can be
# looked up in an index. NO KEY UPDATE lets events insert slots of a locked schedule.
_CLAIM = """
CREATE FUNCTION orchestrator.claim_due_schedules(most integer)
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
            WHERE r.org_id = s.org_id AND r.integration_id = s.integration_id AND r.kind = 'sync'
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
REVOKE ALL ON FUNCTION orchestrator.claim_due_schedules(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION orchestrator.claim_due_schedules(integer) TO orchestrator_app;
"""


def upgrade() -> None:
    """Make the tables, lock them down, wake chained schedules."""
    op.execute(_TABLES)
    for table in ("schedules", "schedule_slots"):
        op.execute(_SECURITY.format(table=table))
    op.execute(_GRANTS)
    op.execute(_CHAIN)
    op.execute(_CLAIM)
