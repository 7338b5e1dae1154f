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
ALTER TABLE orchestrator.runs ADD COLUMN pruned_at timestamptz;
CREATE INDEX runs_unpruned ON orchestrator.runs (org_id, finished_at)
    WHERE finished_at IS NOT NULL AND pruned_at IS NULL;

-- Answers how much went; NULL where nothing is left to look at, or another is at it.
CREATE FUNCTION orchestrator.prune_history(keep interval, batch integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog
AS $$
DECLARE
    org uuid := NULLIF(current_setting('app.org_id', true), '')::uuid;
    old uuid[];
    lines bigint;
    counts bigint;
BEGIN
    IF org IS NULL OR keep IS NULL OR keep < interval '1 day' OR batch IS NULL OR batch NOT BETWEEN 1 AND 100000 THEN
        RAISE EXCEPTION 'prune_history wants an organization, at least a day, and a batch of 1 to 100000';
    END IF;
    IF NOT pg_try_advisory_xact_lock(hashtextextended('orchestrator.prune_history', 0)) THEN
        RETURN NULL;
    END IF;
    old := ARRAY(
        SELECT r.id FROM orchestrator.runs r
        WHERE r.org_id = org AND r.finished_at < clock_timestamp() - keep AND r.pruned_at IS NULL
            AND EXISTS (SELECT FROM orchestrator.runs newer WHERE newer.org_id = org
                AND newer.integration_id = r.integration_id AND newer.id > r.id)
            AND (r.status <> 'succeeded' OR EXISTS (SELECT FROM orchestrator.runs newer WHERE newer.org_id = org
                AND newer.integration_id = r.integration_id AND newer.id > r.id AND newer.status = 'succeeded'))
        ORDER BY r.finished_at LIMIT 500);
    IF cardinality(old) = 0 THEN
        RETURN NULL;
    END IF;
    DELETE FROM orchestrator.integration_sync_logs WHERE org_id = org AND id IN (
        SELECT l.id FROM orchestrator.integration_sync_logs l WHERE l.org_id = org AND l.run_id = ANY (old) LIMIT batch);
    GET DIAGNOSTICS lines = ROW_COUNT;
    DELETE FROM orchestrator.run_streams WHERE org_id = org AND (run_id, stream) IN (
        SELECT s.run_id, s.stream FROM orchestrator.run_streams s
        WHERE s.org_id = org AND s.run_id = ANY (old) LIMIT batch);
    GET DIAGNOSTICS counts = ROW_COUNT;
    UPDATE orchestrator.runs r SET pruned_at = clock_timestamp()
    WHERE r.org_id = org AND r.id = ANY (old)
        AND NOT EXISTS (SELECT FROM orchestrator.integration_sync_logs l WHERE l.org_id = org AND l.run_id = r.id)
        AND NOT EXISTS (SELECT FROM orchestrator.run_streams s WHERE s.org_id = org AND s.run_id = r.id);
    RETURN lines + counts;
END
$$;

REVOKE ALL ON FUNCTION orchestrator.prune_history(interval, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION orchestrator.prune_history(interval, integer) TO orchestrator_app, orchestrator_worker;
"""


def upgrade() -> None:
    """Make the function, and the mark by which it passes over runs it is done with."""
    op.execute(_PRUNE)
