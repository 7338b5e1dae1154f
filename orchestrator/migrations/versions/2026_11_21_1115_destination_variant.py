"""A destination says which plugin loads into it, as an integration says which one reads."""

from alembic import op

revision = "2026_11_21_1115"
down_revision = "2026_11_21_1100"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Those that are there get the plugins of ours; the warehouse's takes the tables over that another one made."""
    op.execute("ALTER TABLE orchestrator.destinations ADD COLUMN variant text NOT NULL DEFAULT 'orchestrator'")
    op.execute("ALTER TABLE orchestrator.destinations ALTER COLUMN variant DROP DEFAULT")
