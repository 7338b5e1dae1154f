"""An integration is not deleted while one of its runs is under way."""

from alembic import op

revision = "2026_11_29_1524"
down_revision = "2026_11_29_1523"
branch_labels = None
depends_on = None

_GUARD = """
CREATE FUNCTION orchestrator.refuse_while_busy() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog
    AS $$
DECLARE
    busy uuid;
BEGIN
    SELECT r.id INTO busy FROM orchestrator.runs r
    WHERE r.org_id = NEW.org_id AND r.integration_id = NEW.id AND r.kind IN ('sync', 'backfill', 'dry_run')
      AND r.status IN ('queued', 'running', 'retrying', 'cancelling');
    IF FOUND THEN
        RAISE restrict_violation USING MESSAGE = 'a run is under way', DETAIL = busy, CONSTRAINT = 'integrations_idle';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER refuse_while_busy BEFORE UPDATE OF deleted_at ON orchestrator.integrations
    FOR EACH ROW WHEN (OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL)
    EXECUTE FUNCTION orchestrator.refuse_while_busy();
"""


def upgrade() -> None:
    """Guard it where the race is settled: in the database."""
    op.execute(_GUARD)
