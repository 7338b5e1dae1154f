"""An attempt knows how long each of its phases took."""

from alembic import op

revision = "2026_11_29_1535"
down_revision = "2026_11_29_1525"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Seconds by phase; of attempts that ended before this, and of those whose worker died, nothing is known."""
    op.execute("ALTER TABLE orchestrator.run_attempts ADD COLUMN phases JSONB")
