"""Whose turn it was is known to what hands out runs, and to nobody else."""

from alembic import op

revision = "2026_11_29_1751"
down_revision = "2026_11_29_1750"
branch_labels = None
depends_on = None

# last_turn names an organization to all others; the reviewed function that reads and writes it is its owner's.
_COLUMNS = """
REVOKE SELECT ON orchestrator.installation FROM orchestrator_app, orchestrator_worker, orchestrator_scheduler;
REVOKE INSERT, UPDATE ON orchestrator.installation FROM orchestrator_worker;
GRANT SELECT (single, id, cluster, database, paused_at, paused_because) ON orchestrator.installation
    TO orchestrator_app, orchestrator_worker, orchestrator_scheduler;
GRANT INSERT (cluster, database), UPDATE (id, cluster, database, paused_at, paused_because)
    ON orchestrator.installation TO orchestrator_worker;
"""


def upgrade() -> None:
    """Grant what the roles need of the row, and no more."""
    op.execute(_COLUMNS)
