"""Checks go round the organizations, so that one with thousands that are due holds up no other."""

from alembic import op

revision = "2026_11_29_1815"
down_revision = "2026_11_29_1810"
branch_labels = None
depends_on = None

# Whose connection is to be checked now: of the next organization after the one named that has one due, round the
# corner, the one that is due for longest. Whoever claims it moves the next one on in the same transaction, so that each
# is done once, and by as much as a tenth more or less, so that they spread out. What is off, or can't be checked, moves
# on as well, so that a setting takes hold by itself; it is not `wanted`.
_CLAIM = """
CREATE INDEX integration_health_of_org ON orchestrator.integration_health (org_id, next_check_at);
DROP FUNCTION orchestrator.claim_due_check(interval);
CREATE FUNCTION orchestrator.claim_due_check(every interval, served uuid)
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
    WITH moved AS (
        UPDATE orchestrator.integration_health h SET next_check_at = orchestrator.next_check(h.check_every, every)
        WHERE h.org_id = due.org_id AND h.integration_id = due.integration_id
        RETURNING h.org_id, h.integration_id, coalesce(h.check_every, every) > interval '0' AS wanted
    )
    SELECT moved.org_id, moved.integration_id, coalesce(moved.wanted, false) AND i.enabled AND i.deleted_at IS NULL
        AND i.setup_state IN ('connected', 'needs_reauth')
    FROM moved JOIN orchestrator.integrations i ON i.org_id = moved.org_id AND i.id = moved.integration_id;
END
$$;
REVOKE ALL ON FUNCTION orchestrator.claim_due_check(interval, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION orchestrator.claim_due_check(interval, uuid) TO orchestrator_worker;
"""


def upgrade() -> None:
    """Replace the function, with an index to go round by."""
    op.execute(_CLAIM)
