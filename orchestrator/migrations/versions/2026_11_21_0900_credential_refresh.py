"""When a credential's access token is renewed, by whom right now, and why a provider refused."""

from alembic import op

revision = "2026_11_21_0900"
down_revision = "2026_11_21_0800"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Columns without defaults: no table is rewritten."""
    op.execute("""
        ALTER TABLE orchestrator.integration_credentials
            ADD COLUMN status_reason TEXT,
            ADD COLUMN access_refresh_at timestamptz,
            ADD COLUMN refresh_lease_until timestamptz,
            ADD COLUMN refresh_not_before timestamptz
    """)
