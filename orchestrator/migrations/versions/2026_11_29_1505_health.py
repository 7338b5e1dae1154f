"""What is known of each integration's health, and which connections are to be checked when."""

from alembic import op

revision = "2026_11_29_1505"
down_revision = "2026_11_29_1435"
branch_labels = None
depends_on = None

# Filled before row-level security is switched on. Checks of what is there already are spread over the first hour.
_TABLE = """
CREATE TABLE orchestrator.integration_health (
    org_id UUID NOT NULL,
    integration_id UUID NOT NULL,
    last TEXT,
    failures INTEGER DEFAULT '0' NOT NULL,
    unmended INTEGER DEFAULT '0' NOT NULL,
    trouble JSONB,
    check_trouble JSONB,
    last_success_at timestamptz,
    checked_at timestamptz,
    next_check_at timestamptz DEFAULT clock_timestamp() + interval '1 hour' NOT NULL,
    warned_at timestamptz,
    disabled_at timestamptz,
    check_every INTERVAL,
    disable_after INTEGER,
    PRIMARY KEY (org_id, integration_id),
    CONSTRAINT integration_health_org_id_integration_id_fkey FOREIGN KEY(org_id, integration_id) REFERENCES orchestrator.integrations (org_id, id) ON DELETE CASCADE,
    CONSTRAINT integration_health_last_check CHECK (last IN ('succeeded', 'partial', 'failed')),
    CONSTRAINT integration_health_check_every_check CHECK (check_every >= interval '0'),
    CONSTRAINT integration_health_disable_after_check CHECK (disable_after = 0 OR disable_after >= 2)
);
CREATE INDEX integration_health_next_check ON orchestrator.integration_health (next_check_at);

INSERT INTO orchestrator.integration_health (org_id, integration_id, last_success_at, next_check_at)
SELECT i.org_id, i.id, (SELECT max(r.finished_at) FROM orchestrator.runs r WHERE r.org_id = i.org_id
                        AND r.integration_id = i.id AND r.status = 'succeeded'),
       clock_timestamp() + interval '1 hour' * random()
FROM orchestrator.integrations i;

ALTER TABLE orchestrator.integration_health ENABLE ROW LEVEL SECURITY;
ALTER TABLE orchestrator.integration_health FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON orchestrator.integration_health
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid)
    WITH CHECK (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
CREATE POLICY across ON orchestrator.integration_health TO orchestrator_owner USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE ON orchestrator.integration_health TO orchestrator_app;
GRANT SELECT, UPDATE ON orchestrator.integration_health TO orchestrator_worker;
"""

# Every integration has a row, whoever adds it; runs as whoever does.
_ALWAYS_THERE = """
CREATE FUNCTION orchestrator.begin_health() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog
    AS $$
BEGIN
    INSERT INTO orchestrator.integration_health (org_id, integration_id) VALUES (NEW.org_id, NEW.id);
    RETURN NULL;
END
$$;
CREATE TRIGGER begin_health AFTER INSERT ON orchestrator.integrations
    FOR EACH ROW EXECUTE FUNCTION orchestrator.begin_health();
"""

# Whose connection is to be checked now, of every organization; whoever claims a check moves the next one on in the
# same statement, so that each is done once, and by as much as a tenth more or less, so that they spread out.
# What is off, or can't be checked, moves on as well, so that a setting takes hold by itself; it is not `wanted`.
_CHECKS = """
CREATE FUNCTION orchestrator.next_check(own interval, every interval) RETURNS timestamptz
    LANGUAGE sql VOLATILE SET search_path = pg_catalog
AS $$ SELECT clock_timestamp() + coalesce(nullif(own, interval '0'), every, interval '1 hour') * (0.9 + 0.2 * random()) $$;

CREATE FUNCTION orchestrator.claim_due_check(every interval)
    RETURNS TABLE (org_id uuid, integration_id uuid, wanted boolean)
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog
AS $$
    WITH due AS (
        SELECT h.org_id, h.integration_id FROM orchestrator.integration_health h
        WHERE h.next_check_at <= statement_timestamp() ORDER BY h.next_check_at LIMIT 1 FOR UPDATE SKIP LOCKED
    ), moved AS (
        UPDATE orchestrator.integration_health h SET next_check_at = orchestrator.next_check(h.check_every, every)
        FROM due WHERE h.org_id = due.org_id AND h.integration_id = due.integration_id
        RETURNING h.org_id, h.integration_id, coalesce(h.check_every, every) > interval '0' AS wanted
    )
    SELECT moved.org_id, moved.integration_id, coalesce(moved.wanted, false) AND i.enabled AND i.deleted_at IS NULL
        AND i.setup_state IN ('connected', 'needs_reauth')
    FROM moved JOIN orchestrator.integrations i ON i.org_id = moved.org_id AND i.id = moved.integration_id
$$;
REVOKE ALL ON FUNCTION orchestrator.next_check(interval, interval), orchestrator.claim_due_check(interval)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION orchestrator.next_check(interval, interval) TO orchestrator_app, orchestrator_worker;
GRANT EXECUTE ON FUNCTION orchestrator.claim_due_check(interval) TO orchestrator_worker;
"""


def upgrade() -> None:
    """A row for each integration, always; and one reviewed function to claim checks by."""
    op.execute(_TABLE)
    op.execute(_ALWAYS_THERE)
    op.execute(_CHECKS)
