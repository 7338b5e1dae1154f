"""A catalog's fields stay in the source's order, which becomes that of a new table's columns: jsonb sorts by length."""

from alembic import op

revision = "2026_11_29_2350"
down_revision = "2026_11_29_2133"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """What is there stays as it was sorted until the next discovery."""
    op.execute("ALTER TABLE orchestrator.integration_streams ALTER COLUMN entry TYPE json")
