"""Whose data is late, since when, and when to look at whose again."""

from alembic import op

revision = "2026_11_29_1750"
down_revision = "2026_11_29_1728"
branch_labels = None
depends_on = None

_COLUMNS = """
ALTER TABLE orchestrator.integration_health ADD COLUMN late_since timestamptz, ADD COLUMN next_look_at timestamptz;
CREATE INDEX integration_health_next_look ON orchestrator.integration_health (next_look_at);
UPDATE orchestrator.integration_health h SET next_look_at = clock_timestamp()
WHERE EXISTS (SELECT FROM orchestrator.schedules s
              WHERE s.org_id = h.org_id AND s.integration_id = h.integration_id AND s.deleted_at IS NULL);
"""

# What is to be looked at now, of every organization. Whoever claims it has a minute to say when it is next.
_CLAIM = """
CREATE FUNCTION orchestrator.claim_due_looks(most integer) RETURNS TABLE (org_id uuid, integration_id uuid)
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE orchestrator.integration_health h SET next_look_at = clock_timestamp() + interval '1 minute'
    FROM (
        SELECT due.org_id, due.integration_id FROM orchestrator.integration_health due
        WHERE due.next_look_at <= statement_timestamp() ORDER BY due.next_look_at LIMIT most FOR UPDATE SKIP LOCKED
    ) due
    WHERE h.org_id = due.org_id AND h.integration_id = due.integration_id
    RETURNING h.org_id, h.integration_id
$$;
REVOKE ALL ON FUNCTION orchestrator.claim_due_looks(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION orchestrator.claim_due_looks(integer) TO orchestrator_worker;
"""


def upgrade() -> None:
    """Remember what is late, and one reviewed function to claim looks by."""
    op.execute(_COLUMNS)
    op.execute(_CLAIM)
