"""Handing out runs costs the same however many wait; a run is found by its status; an installation has a row."""

from alembic import op

revision = "2026_11_29_1540"
down_revision = "2026_11_29_1535"
branch_labels = None
depends_on = None

_TABLES = """
CREATE INDEX runs_by_status ON orchestrator.runs (org_id, status, id);
CREATE INDEX runs_of_integration_by_status ON orchestrator.runs (org_id, integration_id, status, id);

DROP INDEX orchestrator.run_queue_waiting;
CREATE INDEX run_queue_waiting ON orchestrator.run_queue (org_id, provider, requested_at)
    WHERE dispatched_at IS NULL AND not_before IS NULL;
CREATE INDEX run_queue_not_before ON orchestrator.run_queue (not_before) WHERE not_before IS NOT NULL;

CREATE TABLE orchestrator.installation (
    single BOOLEAN DEFAULT 'true' NOT NULL,
    id UUID DEFAULT gen_random_uuid() NOT NULL,
    last_turn UUID,
    cluster TEXT,
    database BIGINT,
    paused_at timestamptz,
    paused_because TEXT DEFAULT '' NOT NULL,
    PRIMARY KEY (single),
    CONSTRAINT installation_single_check CHECK (single)
);
INSERT INTO orchestrator.installation DEFAULT VALUES;
GRANT SELECT ON orchestrator.installation TO orchestrator_app, orchestrator_worker, orchestrator_scheduler;
GRANT INSERT, UPDATE ON orchestrator.installation TO orchestrator_worker;
"""

# Hands waiting runs to free slots, in fair turns, the emptiest workers first: each worker has a queue of its own name in
# the transport, so none holds a run that another could start. One dispatcher at a time; a call is a short transaction.
#
# A run's turn is how many runs its organization would then have under way, so that each organization gets its first
# slot before any gets its second, however long its line is. Turns go round: the walk over the organizations that wait
# goes on after the last one served, and ends once it has met as many that have nothing under way as there are slots. So
# a call costs by slots and by runs under way, not by runs or organizations that wait. Lines are by provider, so that one
# at its limit holds up nothing else; runs that wait to be tried again are in none until it is time.
_DISPATCH = """
CREATE OR REPLACE FUNCTION orchestrator.dispatch(total integer, per_org integer, per_provider integer, alive interval)
    RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = orchestrator_queue, pg_catalog
AS $$
DECLARE
    last CONSTANT uuid := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
    before CONSTANT uuid := '00000000-0000-0000-0000-000000000000';
    slots text[];
    free integer;
    served uuid;
    here uuid;
    bound uuid := last;
    provider_here text;
    orgs uuid[] := '{}';
    providers text[] := '{}';
    at_work uuid[];
    idle integer := 0;
    handed integer;
BEGIN
    -- The plans are kept by the session, perhaps from when nothing waited: they must go by the indexes all the same.
    PERFORM set_config(name, 'off', true) FROM unnest('{enable_seqscan,enable_bitmapscan,enable_sort}'::text[]) name;
    UPDATE orchestrator.run_queue SET not_before = NULL WHERE not_before <= clock_timestamp();
    IF NOT EXISTS (SELECT FROM orchestrator.run_queue WHERE dispatched_at IS NULL AND not_before IS NULL) THEN
        RETURN 0;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('orchestrator.dispatch', 0));
    IF EXISTS (SELECT FROM orchestrator.installation WHERE paused_at IS NOT NULL) THEN
        RETURN 0;
    END IF;
    SELECT coalesce(array_agg(slot.name ORDER BY slot.place, slot.name), '{}') INTO slots FROM (
        SELECT w.name, generate_series(1 + coalesce(taken.runs, 0), w.concurrency) AS place
        FROM orchestrator.workers w LEFT JOIN (
            SELECT q.worker, count(*) AS runs FROM orchestrator.run_queue q
            WHERE q.dispatched_at IS NOT NULL GROUP BY q.worker) taken ON taken.worker = w.name
        WHERE NOT w.draining AND w.heartbeat_at > clock_timestamp() - alive) slot;
    SELECT least(cardinality(slots), total - count(*)), array_agg(DISTINCT org_id) INTO free, at_work
        FROM orchestrator.run_queue WHERE dispatched_at IS NOT NULL;
    IF free <= 0 THEN
        RETURN 0;
    END IF;
    SELECT coalesce(last_turn, before) INTO served FROM orchestrator.installation;
    served := coalesce(served, before);
    here := served;
    LOOP
        SELECT q.org_id INTO here FROM orchestrator.run_queue q
        WHERE q.dispatched_at IS NULL AND q.not_before IS NULL AND q.org_id > here AND q.org_id <= bound
        ORDER BY q.org_id, q.provider, q.requested_at LIMIT 1;
        IF here IS NULL THEN  -- round the corner, once
            EXIT WHEN bound = served;
            bound := served;
            here := before;
            CONTINUE;
        END IF;
        provider_here := '';
        LOOP
            SELECT q.provider INTO provider_here FROM orchestrator.run_queue q
            WHERE q.dispatched_at IS NULL AND q.not_before IS NULL AND q.org_id = here AND q.provider > provider_here
            ORDER BY q.provider, q.requested_at LIMIT 1;
            EXIT WHEN provider_here IS NULL;
            orgs := orgs || here;
            providers := providers || provider_here;
        END LOOP;
        IF NOT here = ANY (coalesce(at_work, '{}')) THEN
            idle := idle + 1;
        END IF;
        EXIT WHEN idle >= free;
    END LOOP;
    WITH line AS (
        SELECT * FROM unnest(orgs, providers) WITH ORDINALITY AS line (org_id, provider, place)
    ), busy AS (
        SELECT org_id, provider, count(*) AS runs FROM orchestrator.run_queue
        WHERE dispatched_at IS NOT NULL GROUP BY org_id, provider
    ), first_ones AS (
        SELECT line.org_id, line.place, due.run_id, due.requested_at,
               coalesce(busy.runs, 0) + row_number() OVER
                   (PARTITION BY line.org_id, line.provider ORDER BY due.requested_at, due.run_id) AS of_provider
        FROM line LEFT JOIN busy USING (org_id, provider) CROSS JOIN LATERAL (
            SELECT q.run_id, q.requested_at FROM orchestrator.run_queue q
            WHERE q.dispatched_at IS NULL AND q.not_before IS NULL
              AND q.org_id = line.org_id AND q.provider = line.provider
            ORDER BY q.requested_at LIMIT CASE WHEN idle >= free THEN 1 ELSE free END) due
    ), turns AS (
        SELECT first_ones.org_id, first_ones.run_id, first_ones.requested_at,
               min(place) OVER (PARTITION BY first_ones.org_id) AS place,
               coalesce((SELECT sum(runs) FROM busy WHERE busy.org_id = first_ones.org_id), 0) + row_number() OVER
                   (PARTITION BY first_ones.org_id ORDER BY first_ones.requested_at, first_ones.run_id) AS turn
        FROM first_ones WHERE of_provider <= per_provider
    ), chosen AS (
        SELECT org_id, run_id, row_number() OVER (ORDER BY turn, place, run_id) AS nth
        FROM turns WHERE turn <= per_org ORDER BY turn, place, run_id LIMIT free
    ), marked AS (
        UPDATE orchestrator.run_queue q SET dispatched_at = clock_timestamp(), worker = slots[chosen.nth]
        FROM chosen WHERE q.org_id = chosen.org_id AND q.run_id = chosen.run_id AND q.dispatched_at IS NULL
        RETURNING q.org_id, q.run_id, q.worker, chosen.nth
    ), turned AS (
        INSERT INTO orchestrator.installation (last_turn) SELECT org_id FROM marked ORDER BY nth DESC LIMIT 1
        ON CONFLICT (single) DO UPDATE SET last_turn = excluded.last_turn
    ), deferred AS (
        SELECT procrastinate_defer_jobs_v1(array_agg(ROW(worker, 'execute', 0, NULL, NULL,
            jsonb_build_object('org_id', org_id, 'run_id', run_id), NULL)::procrastinate_job_to_defer_v1)) AS ids
        FROM marked HAVING count(*) > 0
    )
    SELECT coalesce(sum(cardinality(ids)), 0) INTO handed FROM deferred;
    RETURN handed;
END
$$;

-- Runs that were handed over, but whose worker went before it claimed them, go back into the line, and what the
-- transport holds for workers that are gone is dropped: a run is claimed once, whoever is handed it.
CREATE OR REPLACE FUNCTION orchestrator.requeue_unclaimed(unclaimed interval) RETURNS integer
    LANGUAGE sql SECURITY DEFINER SET search_path = orchestrator_queue, pg_catalog
AS $$
    DELETE FROM procrastinate_jobs j WHERE NOT EXISTS (
        SELECT FROM orchestrator.run_queue q
        WHERE q.dispatched_at IS NOT NULL AND q.worker = j.queue_name AND q.run_id::text = j.args ->> 'run_id');
    WITH back AS (
        UPDATE orchestrator.run_queue q SET dispatched_at = NULL, worker = NULL
        WHERE q.dispatched_at < clock_timestamp() - unclaimed AND NOT EXISTS (
            SELECT FROM orchestrator.run_attempts a
            WHERE a.org_id = q.org_id AND a.run_id = q.run_id AND a.finished_at IS NULL)
        RETURNING 1)
    SELECT count(*)::integer FROM back
$$;
"""


def upgrade() -> None:
    """Make the indexes and the installation's row, and walk the lines by them."""
    op.execute(_TABLES)
    op.execute(_DISPATCH)
