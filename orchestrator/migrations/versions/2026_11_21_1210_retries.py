"""A run knows the one it does again."""

from alembic import op

revision = "2026_11_21_1210"
down_revision = "2026_11_21_1200"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The column that an earlier migration dropped, unused then; now with an index, since old runs are removed."""
    op.execute("""
        ALTER TABLE orchestrator.runs ADD COLUMN retry_of UUID;
        ALTER TABLE orchestrator.runs ADD CONSTRAINT runs_org_id_retry_of_fkey
            FOREIGN KEY (org_id, retry_of) REFERENCES orchestrator.runs (org_id, id);
        CREATE INDEX runs_retry_of ON orchestrator.runs (org_id, retry_of) WHERE retry_of IS NOT NULL;
    """)
