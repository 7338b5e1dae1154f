"""Logs and counts of old runs can be removed, in batches, by one reviewed function and nothing else."""

from alembic import op

revision = "2026_11_21_1220"
down_revision = "2026_11_21_1210"
branch_labels = None
depends_on = None

# Nobody who works with the database may delete history. This function may, of the organization that the transaction
# names and of no other: what runs said and counted that ended long ago. Runs, attempts, events and state stay; so does
# everything of an integration's newest run and of its newest that succeeded. Two at once would only get in each other's way.
_PRUNE = """
CREATE INDEX runs_ended ON orchestrator.runs (org_id, finished_at) WHERE finished_at IS NOT NULL;

CREATE FUNCTION orchestrator.prune_history(keep interval, batch integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog
AS $$
DECLARE
    org uuid := NULLIF(current_setting('app.org_id', true), '')::uuid;
    gone bigint;
BEGIN
    IF org IS NULL OR keep IS NULL OR keep < interval '1 day' OR batch NOT BETWEEN 1 AND 100000 THEN
        RAISE EXCEPTION 'prune_history wants an organization, at least a day, and a batch of 1 to 100000';
    END IF;
    IF NOT pg_try_advisory_xact_lock(hashtextextended('orchestrator.prune_history', 0)) THEN
        RETURN 0;
    END IF;
    WITH old AS MATERIALIZED (
        SELECT r.id FROM orchestrator.runs r
        WHERE r.org_id = org AND r.finished_at < clock_timestamp() - keep
            AND EXISTS (SELECT FROM orchestrator.runs newer WHERE newer.org_id = org
                AND newer.integration_id = r.integration_id AND newer.id > r.id)
            AND (r.status <> 'succeeded' OR EXISTS (SELECT FROM orchestrator.runs newer WHERE newer.org_id = org
                AND newer.integration_id = r.integration_id AND newer.id > r.id AND newer.status = 'succeeded'))
    ), lines AS (
        DELETE FROM orchestrator.integration_sync_logs WHERE org_id = org AND id IN (
            SELECT l.id FROM old JOIN orchestrator.integration_sync_logs l ON l.org_id = org AND l.run_id = old.id
            LIMIT batch)
        RETURNING 1
    ), counts AS (
        DELETE FROM orchestrator.run_streams WHERE org_id = org AND (run_id, stream) IN (
            SELECT s.run_id, s.stream FROM old JOIN orchestrator.run_streams s ON s.org_id = org AND s.run_id = old.id
            LIMIT batch)
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM lines) + (SELECT count(*) FROM counts) INTO gone;
    RETURN gone;
END
$$;

REVOKE ALL ON FUNCTION orchestrator.prune_history(interval, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION orchestrator.prune_history(interval, integer) TO orchestrator_app, orchestrator_worker;
"""


def upgrade() -> None:
    """Make the function, and the index it finds old runs by."""
    op.execute(_PRUNE)
