"""What a loader notes at the end of a run, for its next one: the columns that it loaded, so that none goes unseen."""

from alembic import op

revision = "2026_11_30_0630"
down_revision = "2026_11_30_0120"
branch_labels = None
depends_on = None

_TABLE = """
CREATE TABLE orchestrator.loader_notes (
    org_id UUID NOT NULL,
    integration_id UUID NOT NULL,
    notes TEXT NOT NULL,
    run_id UUID NOT NULL,
    at timestamptz DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (org_id, integration_id),
    CONSTRAINT loader_notes_org_id_integration_id_fkey
        FOREIGN KEY(org_id, integration_id) REFERENCES orchestrator.integrations (org_id, id)
);
ALTER TABLE orchestrator.loader_notes ENABLE ROW LEVEL SECURITY;
ALTER TABLE orchestrator.loader_notes FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON orchestrator.loader_notes
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid)
    WITH CHECK (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE ON orchestrator.loader_notes TO orchestrator_worker;
"""


def upgrade() -> None:
    """Make the table."""
    op.execute(_TABLE)
