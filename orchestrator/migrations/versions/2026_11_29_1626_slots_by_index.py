"""What holds a slot is found by its index: handing out cost by all that wait, since an order for distinct led astray."""

from alembic import op

revision = "2026_11_29_1626"
down_revision = "2026_11_29_1550"
branch_labels = None
depends_on = None

# As before, but for the conditions: dispatched_at is compared, so that only its index serves, whatever the statistics
# say of rows that are nearly all empty there; and statement_timestamp() can be looked up in an index.
_DISPATCH = """
CREATE OR REPLACE FUNCTION orchestrator.dispatch(total integer, per_org integer, per_provider integer, alive interval)
    RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = orchestrator_queue, pg_catalog, pg_temp
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
    PERFORM set_config(name, 'off', true) FROM unnest('{enable_seqscan,enable_bitmapscan}'::text[]) name;
    UPDATE orchestrator.run_queue SET not_before = NULL WHERE not_before <= statement_timestamp();
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
            WHERE q.dispatched_at > '-infinity' GROUP BY q.worker) taken ON taken.worker = w.name
        WHERE NOT w.draining AND w.heartbeat_at > clock_timestamp() - alive) slot;
    SELECT least(cardinality(slots), total - count(*)), array_agg(org_id) INTO free, at_work
        FROM orchestrator.run_queue WHERE dispatched_at > '-infinity';
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
        WHERE dispatched_at > '-infinity' GROUP BY org_id, provider
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
"""


def upgrade() -> None:
    """Replace the function."""
    op.execute(_DISPATCH)
