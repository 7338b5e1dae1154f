"""Totals of the whole installation for its operator's metrics: numbers, no organization's name or id."""

from alembic import op

revision = "2026_11_29_1515"
down_revision = "2026_11_29_1505"
branch_labels = None
depends_on = None

_FIGURES = """
CREATE FUNCTION orchestrator.queue_figures(alive interval)
    RETURNS TABLE (waiting bigint, delayed bigint, dispatched bigint, oldest double precision,
                   working bigint, draining bigint, silent bigint, slots bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
AS $$
    WITH line AS (
        SELECT count(*) FILTER (WHERE dispatched_at IS NULL AND coalesce(not_before <= now(), true)) AS waiting,
               count(*) FILTER (WHERE dispatched_at IS NULL AND not_before > now()) AS delayed,
               count(*) FILTER (WHERE dispatched_at IS NOT NULL) AS dispatched,
               min(coalesce(not_before, requested_at)) FILTER (
                   WHERE dispatched_at IS NULL AND coalesce(not_before <= now(), true)) AS since
        FROM orchestrator.run_queue
    ), there AS (
        SELECT draining, concurrency, heartbeat_at > now() - alive AS lives FROM orchestrator.workers
    )
    SELECT line.waiting, line.delayed, line.dispatched,
           coalesce(greatest(extract(epoch FROM now() - line.since), 0), 0)::double precision,
           (SELECT count(*) FROM there WHERE lives AND NOT there.draining),
           (SELECT count(*) FROM there WHERE lives AND there.draining),
           (SELECT count(*) FROM there WHERE NOT lives),
           (SELECT coalesce(sum(concurrency), 0) FROM there WHERE lives AND NOT there.draining)
    FROM line
$$;

-- How long the schedule has been due that is due for longest; seconds.
CREATE FUNCTION orchestrator.scheduler_lag() RETURNS double precision
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
AS $$
    SELECT coalesce(greatest(extract(epoch FROM now() - min(next_fire_at)), 0), 0)::double precision
    FROM orchestrator.schedules WHERE next_fire_at IS NOT NULL
$$;

CREATE FUNCTION orchestrator.integration_figures()
    RETURNS TABLE (health text, setup_state text, disabled_by text, integrations bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
AS $$
    SELECT i.health, i.setup_state,
           CASE WHEN i.enabled THEN '' WHEN h.disabled_at IS NULL THEN 'person' ELSE 'failures' END, count(*)
    FROM orchestrator.integrations i
    JOIN orchestrator.integration_health h ON h.org_id = i.org_id AND h.integration_id = i.id
    WHERE i.deleted_at IS NULL GROUP BY 1, 2, 3
$$;

REVOKE ALL ON FUNCTION orchestrator.queue_figures(interval), orchestrator.scheduler_lag(),
    orchestrator.integration_figures() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION orchestrator.queue_figures(interval), orchestrator.scheduler_lag(),
    orchestrator.integration_figures() TO orchestrator_worker;
"""


def upgrade() -> None:
    """Make the functions; workers alone may call them."""
    op.execute(_FIGURES)
