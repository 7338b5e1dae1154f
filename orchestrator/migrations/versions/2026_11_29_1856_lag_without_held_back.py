"""How late the scheduler is leaves out the time that it holds a schedule back: one that is broken made it grow forever."""

from alembic import op

revision = "2026_11_29_1856"
down_revision = "2026_11_29_1855"
branch_labels = None
depends_on = None

# As before, but a schedule that is held back is due when it is tried again.
_LAG = """
CREATE OR REPLACE FUNCTION orchestrator.scheduler_lag() RETURNS double precision
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(greatest(extract(epoch FROM now() - min(greatest(next_fire_at, retry_at))), 0), 0)::double precision
    FROM orchestrator.schedules WHERE next_fire_at IS NOT NULL
$$
"""


def upgrade() -> None:
    """Who may call it stays."""
    op.execute(_LAG)
