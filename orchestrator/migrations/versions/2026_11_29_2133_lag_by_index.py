"""How late the scheduler is follows from what is due alone, which an index knows: it went through all schedules."""

from alembic import op

revision = "2026_11_29_2133"
down_revision = "2026_11_29_2049"
branch_labels = None
depends_on = None

_LAG = """
CREATE OR REPLACE FUNCTION orchestrator.scheduler_lag() RETURNS double precision
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(greatest(extract(epoch FROM now() - min(greatest(next_fire_at, retry_at))), 0), 0)::double precision
    FROM orchestrator.schedules WHERE next_fire_at <= now()
$$
"""


def upgrade() -> None:
    """Who may call it stays."""
    op.execute(_LAG)
