"""A check that was claimed and never made comes back: a worker that stopped lost its checks for a whole period."""

from alembic import op

revision = "2026_11_29_2048"
down_revision = "2026_11_29_1938"
branch_labels = None
depends_on = None

# As before, but one that is to be made is claimed for ten minutes, which is longer than any takes; who made it says
# when the next one is due. What is off, or can't be checked, still moves on at once.
_CLAIM = """
CREATE OR REPLACE FUNCTION orchestrator.claim_due_check(every interval, served uuid)
    RETURNS TABLE (org_id uuid, integration_id uuid, wanted boolean)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    due record;
BEGIN
    IF NOT EXISTS (SELECT FROM orchestrator.integration_health h WHERE h.next_check_at <= statement_timestamp()) THEN
        RETURN;
    END IF;
    SELECT h.org_id, h.integration_id INTO due FROM orchestrator.integration_health h
    WHERE h.org_id > served AND h.next_check_at <= statement_timestamp()
    ORDER BY h.org_id, h.next_check_at LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        SELECT h.org_id, h.integration_id INTO due FROM orchestrator.integration_health h
        WHERE h.org_id <= served AND h.next_check_at <= statement_timestamp()
        ORDER BY h.org_id, h.next_check_at LIMIT 1 FOR UPDATE SKIP LOCKED;
    END IF;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH one AS (
        SELECT h.org_id, h.integration_id, coalesce(coalesce(h.check_every, every) > interval '0', false) AND i.enabled
            AND i.deleted_at IS NULL AND i.setup_state IN ('connected', 'needs_reauth') AS wanted
        FROM orchestrator.integration_health h
        JOIN orchestrator.integrations i ON i.org_id = h.org_id AND i.id = h.integration_id
        WHERE h.org_id = due.org_id AND h.integration_id = due.integration_id
    )
    UPDATE orchestrator.integration_health h SET next_check_at = CASE WHEN one.wanted
        THEN clock_timestamp() + interval '10 minutes' ELSE orchestrator.next_check(h.check_every, every) END
    FROM one WHERE h.org_id = one.org_id AND h.integration_id = one.integration_id
    RETURNING h.org_id, h.integration_id, one.wanted;
END
$$
"""


def upgrade() -> None:
    """Replace the function; who may call it stays."""
    op.execute(_CLAIM)
