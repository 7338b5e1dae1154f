"""Totals of all runs that ended, whoever did them, for the operator's metrics: counted once, as they end."""

from alembic import op

revision = "2026_11_29_1810"
down_revision = "2026_11_29_1800"
branch_labels = None
depends_on = None

# No organization's name or id. What is here stays where the history it was counted from is pruned. Counts come from
# plugins, so that their sums have no bound.
_TABLE = """
CREATE TABLE orchestrator.run_totals (
    connector TEXT NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    failure_kind TEXT NOT NULL,
    failure_origin TEXT NOT NULL,
    runs BIGINT NOT NULL,
    seconds FLOAT NOT NULL,
    records_read NUMERIC NOT NULL,
    records_written NUMERIC NOT NULL,
    records_deleted NUMERIC NOT NULL,
    bytes NUMERIC NOT NULL,
    PRIMARY KEY (connector, kind, status, failure_kind, failure_origin)
);
GRANT SELECT ON orchestrator.run_totals TO orchestrator_worker;
CREATE POLICY across ON orchestrator.run_streams FOR SELECT TO orchestrator_owner USING (true);
"""

_TOTALS = """
    SELECT i.type, r.kind, r.status, coalesce(r.failure->>'kind', '') AS failure_kind,
        coalesce(r.failure->>'origin', '') AS failure_origin, count(*) AS runs,
        coalesce(sum(extract(epoch FROM r.finished_at - r.started_at)), 0) AS seconds,
        coalesce(sum(moved.read), 0), coalesce(sum(moved.written), 0), coalesce(sum(moved.deleted), 0),
        coalesce(sum(moved.bytes), 0)
    FROM orchestrator.runs r
    JOIN orchestrator.integrations i ON i.org_id = r.org_id AND i.id = r.integration_id
    CROSS JOIN LATERAL (
        SELECT sum(s.records_read) AS read, sum(s.records_written) AS written, sum(s.records_deleted) AS deleted,
            sum(s.bytes) AS bytes
        FROM orchestrator.run_streams s WHERE s.org_id = r.org_id AND s.run_id = r.id) moved
    WHERE {which} GROUP BY 1, 2, 3, 4, 5
"""

# As the transaction commits that ends the run, so that nobody waits long for anybody else's.
_COUNT = """
CREATE FUNCTION orchestrator.count_run() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO orchestrator.run_totals AS t {totals}
    ON CONFLICT (connector, kind, status, failure_kind, failure_origin) DO UPDATE SET
        runs = t.runs + excluded.runs, seconds = t.seconds + excluded.seconds,
        records_read = t.records_read + excluded.records_read,
        records_written = t.records_written + excluded.records_written,
        records_deleted = t.records_deleted + excluded.records_deleted, bytes = t.bytes + excluded.bytes;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION orchestrator.count_run() FROM PUBLIC;
CREATE CONSTRAINT TRIGGER count_run AFTER UPDATE ON orchestrator.runs DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (OLD.finished_at IS NULL AND NEW.finished_at IS NOT NULL)
    EXECUTE FUNCTION orchestrator.count_run();
"""


def upgrade() -> None:
    """Begin with what has ended so far, then count each run as it ends."""
    op.execute(_TABLE)
    op.execute("INSERT INTO orchestrator.run_totals " + _TOTALS.format(which="r.finished_at IS NOT NULL"))
    op.execute(_COUNT.format(totals=_TOTALS.format(which="r.org_id = NEW.org_id AND r.id = NEW.id")))
