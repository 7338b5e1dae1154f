"""Detached runs: a fair line for workers, the workers themselves, and Procrastinate as the transport between them."""

from alembic import op
from procrastinate.schema import SchemaManager
from sqlalchemy import text

revision = "2026_11_21_1130"
down_revision = "2026_11_21_1115"
branch_labels = None
depends_on = None

_TABLES = """
ALTER TABLE orchestrator.runs ADD COLUMN detached BOOLEAN DEFAULT 'false' NOT NULL;

CREATE TABLE orchestrator.run_queue (
    org_id UUID NOT NULL,
    run_id UUID NOT NULL,
    provider TEXT NOT NULL,
    requested_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    not_before timestamptz,
    dispatched_at timestamptz,
    worker TEXT,
    attempts INTEGER DEFAULT '0' NOT NULL,
    PRIMARY KEY (org_id, run_id),
    CONSTRAINT run_queue_org_id_run_id_fkey FOREIGN KEY(org_id, run_id) REFERENCES orchestrator.runs (org_id, id)
);
CREATE INDEX run_queue_waiting ON orchestrator.run_queue (org_id, provider, requested_at) WHERE dispatched_at IS NULL;
CREATE INDEX run_queue_dispatched ON orchestrator.run_queue (dispatched_at) WHERE dispatched_at IS NOT NULL;

CREATE TABLE orchestrator.workers (
    name TEXT NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    version TEXT NOT NULL,
    concurrency INTEGER NOT NULL,
    started_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    heartbeat_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    draining BOOLEAN DEFAULT 'false' NOT NULL,
    PRIMARY KEY (name)
);
"""

_SECURITY = """
ALTER TABLE orchestrator.run_queue ENABLE ROW LEVEL SECURITY;
ALTER TABLE orchestrator.run_queue FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON orchestrator.run_queue
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid)
    WITH CHECK (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
CREATE POLICY across ON orchestrator.run_queue TO orchestrator_owner USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON orchestrator.run_queue TO orchestrator_app, orchestrator_worker;
GRANT SELECT ON orchestrator.workers TO orchestrator_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON orchestrator.workers TO orchestrator_worker;
"""

# The transport knows an organization and a run, nothing else; workers alone may touch it.
_TRANSPORT_RIGHTS = """
GRANT USAGE ON SCHEMA orchestrator_queue TO orchestrator_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA orchestrator_queue TO orchestrator_worker;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA orchestrator_queue TO orchestrator_worker;
"""

# Hands waiting runs to free slots, in fair turns, the emptiest workers first: each worker has a queue of its own name in
# the transport, so none holds a run that another could start. One dispatcher at a time; a call is a short transaction.
#
# A run's turn is how many runs its organization would then have under way, so that each organization gets its first
# slot before any gets its second, however long its line is. The lines are walked by (organization, provider), so that
# a provider at its limit holds up nothing else.
_DISPATCH = """
CREATE FUNCTION orchestrator.dispatch(total integer, per_org integer, per_provider integer, alive interval)
    RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = orchestrator_queue, pg_catalog
AS $$
DECLARE
    slots text[];
    free integer;
    handed integer;
BEGIN
    IF NOT EXISTS (SELECT FROM orchestrator.run_queue WHERE dispatched_at IS NULL) THEN
        RETURN 0;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('orchestrator.dispatch', 0));
    SELECT coalesce(array_agg(slot.name ORDER BY slot.place, slot.name), '{}') INTO slots FROM (
        SELECT w.name, generate_series(1 + (SELECT count(*) FROM orchestrator.run_queue q
                                            WHERE q.dispatched_at IS NOT NULL AND q.worker = w.name),
                                       w.concurrency) AS place
        FROM orchestrator.workers w
        WHERE NOT w.draining AND w.heartbeat_at > clock_timestamp() - alive) slot;
    SELECT least(cardinality(slots), total - count(*)) INTO free
        FROM orchestrator.run_queue WHERE dispatched_at IS NOT NULL;
    IF free <= 0 THEN
        RETURN 0;
    END IF;
    WITH RECURSIVE line AS (
        (SELECT org_id, provider FROM orchestrator.run_queue WHERE dispatched_at IS NULL
         ORDER BY org_id, provider LIMIT 1)
        UNION ALL
        SELECT next.org_id, next.provider FROM line CROSS JOIN LATERAL (
            SELECT q.org_id, q.provider FROM orchestrator.run_queue q
            WHERE q.dispatched_at IS NULL AND (q.org_id, q.provider) > (line.org_id, line.provider)
            ORDER BY q.org_id, q.provider LIMIT 1) next
    ), busy AS (
        SELECT org_id, provider, count(*) AS runs FROM orchestrator.run_queue
        WHERE dispatched_at IS NOT NULL GROUP BY org_id, provider
    ), first_ones AS (
        SELECT line.org_id, line.provider, due.run_id, due.requested_at,
               coalesce(busy.runs, 0) + row_number() OVER
                   (PARTITION BY line.org_id, line.provider ORDER BY due.requested_at, due.run_id) AS of_provider
        FROM line LEFT JOIN busy USING (org_id, provider) CROSS JOIN LATERAL (
            SELECT q.run_id, q.requested_at FROM orchestrator.run_queue q
            WHERE q.dispatched_at IS NULL AND q.org_id = line.org_id AND q.provider = line.provider
              AND (q.not_before IS NULL OR q.not_before <= clock_timestamp())
            ORDER BY q.requested_at LIMIT free) due
    ), turns AS (
        SELECT first_ones.org_id, first_ones.run_id, first_ones.requested_at,
               coalesce((SELECT sum(runs) FROM busy WHERE busy.org_id = first_ones.org_id), 0) + row_number() OVER
                   (PARTITION BY first_ones.org_id ORDER BY first_ones.requested_at, first_ones.run_id) AS turn
        FROM first_ones WHERE of_provider <= per_provider
    ), chosen AS (
        SELECT org_id, run_id, slots[row_number() OVER (ORDER BY turn, requested_at, run_id)] AS worker
        FROM turns WHERE turn <= per_org ORDER BY turn, requested_at, run_id LIMIT free
    ), marked AS (
        UPDATE orchestrator.run_queue q
        SET dispatched_at = clock_timestamp(), worker = chosen.worker, not_before = NULL
        FROM chosen WHERE q.org_id = chosen.org_id AND q.run_id = chosen.run_id AND q.dispatched_at IS NULL
        RETURNING q.org_id, q.run_id, q.worker
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
CREATE FUNCTION orchestrator.requeue_unclaimed(unclaimed interval) RETURNS integer
    LANGUAGE sql SECURITY DEFINER SET search_path = orchestrator_queue, pg_catalog
AS $$
    DELETE FROM procrastinate_jobs j WHERE NOT EXISTS (
        SELECT FROM orchestrator.run_queue q WHERE q.worker = j.queue_name AND q.run_id::text = j.args ->> 'run_id');
    WITH back AS (
        UPDATE orchestrator.run_queue q SET dispatched_at = NULL, worker = NULL
        WHERE q.dispatched_at < clock_timestamp() - unclaimed AND NOT EXISTS (
            SELECT FROM orchestrator.run_attempts a
            WHERE a.org_id = q.org_id AND a.run_id = q.run_id AND a.finished_at IS NULL)
        RETURNING 1)
    SELECT count(*)::integer FROM back
$$;

CREATE FUNCTION orchestrator.slots_taken() RETURNS TABLE (worker text, busy integer)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
AS $$
    SELECT worker, count(*)::integer FROM orchestrator.run_queue WHERE dispatched_at IS NOT NULL GROUP BY worker
$$;

-- Where a waiting run of one's own organization stands; of others no more than how many slots they leave.
CREATE FUNCTION orchestrator.place_in_line(wanted uuid, alive interval)
    RETURNS TABLE ("position" integer, org_busy integer, provider_busy integer, busy integer, slots integer,
                   again_in interval, attempts integer)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
AS $$
    WITH mine AS (
        SELECT * FROM orchestrator.run_queue q WHERE q.run_id = wanted AND q.dispatched_at IS NULL
        AND q.org_id = NULLIF(current_setting('app.org_id', true), '')::uuid)
    SELECT 1 + (SELECT count(*) FROM orchestrator.run_queue q WHERE q.org_id = mine.org_id
                AND q.dispatched_at IS NULL AND q.requested_at < mine.requested_at)::integer,
           (SELECT count(*) FROM orchestrator.run_queue q
                WHERE q.dispatched_at IS NOT NULL AND q.org_id = mine.org_id)::integer,
           (SELECT count(*) FROM orchestrator.run_queue q WHERE q.dispatched_at IS NOT NULL
                AND q.org_id = mine.org_id AND q.provider = mine.provider)::integer,
           (SELECT count(*) FROM orchestrator.run_queue q WHERE q.dispatched_at IS NOT NULL)::integer,
           (SELECT coalesce(sum(concurrency), 0) FROM orchestrator.workers
                WHERE NOT draining AND heartbeat_at > clock_timestamp() - alive)::integer,
           CASE WHEN mine.not_before > clock_timestamp() THEN mine.not_before - clock_timestamp() END, mine.attempts
    FROM mine
$$;

REVOKE ALL ON FUNCTION orchestrator.dispatch(integer, integer, integer, interval),
    orchestrator.requeue_unclaimed(interval), orchestrator.slots_taken(),
    orchestrator.place_in_line(uuid, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION orchestrator.dispatch(integer, integer, integer, interval),
    orchestrator.requeue_unclaimed(interval), orchestrator.slots_taken(),
    orchestrator.place_in_line(uuid, interval) TO orchestrator_app, orchestrator_worker;
"""


def upgrade() -> None:
    """Make the line, the workers' table and the transport."""
    op.execute(_TABLES)
    op.execute(_SECURITY)
    bind = op.get_bind()
    bind.execute(text("SET LOCAL search_path = orchestrator_queue"))
    bind.exec_driver_sql(SchemaManager.get_schema(), execution_options={"no_parameters": True})
    bind.execute(text("RESET search_path"))
    op.execute(_TRANSPORT_RIGHTS)
    op.execute(_DISPATCH)
