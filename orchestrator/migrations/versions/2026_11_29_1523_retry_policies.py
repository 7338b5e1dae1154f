"""An organization may set when its failed runs are tried again."""

from alembic import op

revision = "2026_11_29_1523"
down_revision = "2026_11_29_1522"
branch_labels = None
depends_on = None

_TABLE = """
CREATE TABLE orchestrator.retry_policies (
    org_id UUID NOT NULL,
    attempts INTEGER,
    backoff INTERVAL,
    longest INTERVAL,
    kinds TEXT[],
    updated_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (org_id),
    CONSTRAINT retry_policies_org_id_fkey FOREIGN KEY(org_id) REFERENCES orchestrator.organizations (id) ON DELETE CASCADE,
    CONSTRAINT retry_policies_attempts_check CHECK (attempts BETWEEN 1 AND 20),
    CONSTRAINT retry_policies_backoff_check CHECK (backoff > interval '0' AND longest > interval '0')
);
ALTER TABLE orchestrator.retry_policies ENABLE ROW LEVEL SECURITY;
ALTER TABLE orchestrator.retry_policies FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON orchestrator.retry_policies
    USING (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid)
    WITH CHECK (org_id = NULLIF(current_setting('app.org_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON orchestrator.retry_policies TO orchestrator_app;
GRANT SELECT ON orchestrator.retry_policies TO orchestrator_worker;
"""


def upgrade() -> None:
    """Make the table; what a row leaves empty is the operator's."""
    op.execute(_TABLE)
