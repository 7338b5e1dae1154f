"""What a run wrote of a stream in bytes, and what of it the loader left out."""

from alembic import op

revision = "2026_11_29_1728"
down_revision = "2026_11_29_1720"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; empty where nobody knows."""
    op.execute("ALTER TABLE orchestrator.run_streams ADD COLUMN records_rejected BIGINT, ADD COLUMN bytes BIGINT")
