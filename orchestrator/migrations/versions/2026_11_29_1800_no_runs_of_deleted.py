"""Nothing is queued for an integration that was deleted, however close behind."""

from alembic import op

revision = "2026_11_29_1800"
down_revision = "2026_11_29_1759"
branch_labels = None
depends_on = None

# A deletion locks the integration; this waits for it, and then sees it. The row is left out rather than refused, so
# that of many that are queued by one statement the others are. Whoever inserts may not lock integrations.
_GUARD = """
CREATE POLICY lock_across ON orchestrator.integrations FOR UPDATE TO orchestrator_owner
    USING (true) WITH CHECK (false);
CREATE FUNCTION orchestrator.leave_out_deleted() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    PERFORM FROM orchestrator.integrations i
    WHERE i.org_id = NEW.org_id AND i.id = NEW.integration_id AND i.deleted_at IS NULL FOR KEY SHARE;
    IF FOUND THEN
        RETURN NEW;
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION orchestrator.leave_out_deleted() FROM PUBLIC;
CREATE TRIGGER leave_out_deleted BEFORE INSERT ON orchestrator.runs
    FOR EACH ROW EXECUTE FUNCTION orchestrator.leave_out_deleted();
"""


def upgrade() -> None:
    """Guard it where the race is settled: in the database."""
    op.execute(_GUARD)
