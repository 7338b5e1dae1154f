"""How many requests a run asked of its source, by stream."""

from alembic import op

revision = "2026_11_29_1525"
down_revision = "2026_11_29_1524"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; empty where the plugin doesn't count them."""
    op.execute("ALTER TABLE orchestrator.run_streams ADD COLUMN api_calls BIGINT")
