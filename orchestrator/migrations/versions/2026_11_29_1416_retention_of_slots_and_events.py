"""What became of slots, and events, are removed with the logs of their time."""

from alembic import op

revision = "2026_11_29_1416"
down_revision = "2026_11_21_1220"
branch_labels = None
depends_on = None

# As before, and then what became of slots that were decided long ago, and events. A schedule keeps its newest slot, and
# whatever still waits. An event has done its work in the transaction that emitted it: nothing reads an old one, and one
# that is gone wakes nothing twice. Ids of events begin with their milliseconds, so that their key finds old ones.
#
# The numbers of a batch are of each kind, not of all together.
_PRUNE = """
CREATE OR REPLACE FUNCTION orchestrator.prune_history(keep interval, batch integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog
AS $$
DECLARE
    org uuid := NULLIF(current_setting('app.org_id', true), '')::uuid;
    before timestamptz := clock_timestamp() - keep;
    old uuid[];
    lines bigint := 0;
    counts bigint := 0;
    slots bigint;
    facts bigint;
BEGIN
    IF org IS NULL OR keep IS NULL OR keep < interval '1 day' OR batch IS NULL OR batch NOT BETWEEN 1 AND 100000 THEN
        RAISE EXCEPTION 'prune_history wants an organization, at least a day, and a batch of 1 to 100000';
    END IF;
    IF NOT pg_try_advisory_xact_lock(hashtextextended('orchestrator.prune_history', 0)) THEN
        RETURN NULL;
    END IF;
    old := ARRAY(
        SELECT r.id FROM orchestrator.runs r
        WHERE r.org_id = org AND r.finished_at < before AND r.pruned_at IS NULL
            AND EXISTS (SELECT FROM orchestrator.runs newer WHERE newer.org_id = org
                AND newer.integration_id = r.integration_id AND newer.id > r.id)
            AND (r.status <> 'succeeded' OR EXISTS (SELECT FROM orchestrator.runs newer WHERE newer.org_id = org
                AND newer.integration_id = r.integration_id AND newer.id > r.id AND newer.status = 'succeeded'))
        ORDER BY r.finished_at LIMIT 500);
    IF cardinality(old) > 0 THEN
        DELETE FROM orchestrator.integration_sync_logs WHERE org_id = org AND id IN (
            SELECT l.id FROM orchestrator.integration_sync_logs l
            WHERE l.org_id = org AND l.run_id = ANY (old) LIMIT batch);
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
    END IF;
    WITH newest AS (
        SELECT s.id, last.slot FROM orchestrator.schedules s CROSS JOIN LATERAL (
            SELECT k.slot FROM orchestrator.schedule_slots k WHERE k.org_id = org AND k.schedule_id = s.id
            ORDER BY k.slot DESC LIMIT 1) last
        WHERE s.org_id = org
    ), gone AS (
        SELECT newest.id, passed.slot FROM newest CROSS JOIN LATERAL (
            SELECT k.slot FROM orchestrator.schedule_slots k
            WHERE k.org_id = org AND k.schedule_id = newest.id AND k.slot < least(newest.slot, before)
              AND coalesce(k.until, k.slot) < before AND k.decided_at < before AND k.outcome <> 'waiting'
            ORDER BY k.slot LIMIT batch) passed
        LIMIT batch
    )
    DELETE FROM orchestrator.schedule_slots k USING gone
    WHERE k.org_id = org AND k.schedule_id = gone.id AND k.slot = gone.slot;
    GET DIAGNOSTICS slots = ROW_COUNT;
    DELETE FROM orchestrator.events WHERE org_id = org AND id IN (
        SELECT e.id FROM orchestrator.events e
        WHERE e.org_id = org AND e.created_at < before
          AND e.id < (lpad(to_hex(greatest(extract(epoch FROM before) * 1000, 0)::bigint), 12, '0')
                      || '00000000000000000000')::uuid
        LIMIT batch);
    GET DIAGNOSTICS facts = ROW_COUNT;
    RETURN NULLIF(slots + facts, 0);
END
$$;
"""


def upgrade() -> None:
    """The same function and rights; it goes on to slots and events where nothing is left of runs."""
    op.execute(_PRUNE)
