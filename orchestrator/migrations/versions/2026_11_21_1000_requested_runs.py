"""Who asked for a run holds a lease until somebody claims it; what nothing uses goes."""

from alembic import op

revision = "2026_11_21_1000"
down_revision = "2026_11_21_0900"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let the app write the requester's attempt, with epoch 0."""
    op.execute("GRANT INSERT, UPDATE ON orchestrator.run_attempts TO orchestrator_app")
    op.execute("DROP INDEX orchestrator.runs_active")
    op.execute("ALTER TABLE orchestrator.runs DROP COLUMN retry_of")
