"""A schema of the installation's warehouse is one integration's; history outlives what it is about."""

from alembic import op
from sqlalchemy import text

from orchestrator.kernel.errors import ConflictError

revision = "2026_11_21_1100"
down_revision = "2026_11_21_1000"
branch_labels = None
depends_on = None


class SharedSchemaError(ConflictError):
    """Two integrations load into the same tables; which of them goes elsewhere only a person can say."""

    code = "schema_shared"

    def __init__(self, schema: str, integrations: list[str]) -> None:
        super().__init__(
            f"Integrations {', '.join(integrations)} load into the same schema '{schema}' of the warehouse.",
            hint="Give all but one another target_schema (table orchestrator.integrations) and reset their state.",
        )


# The owner is under row-level security as well, and must see every organization for this one statement.
_MARK_BUILT_IN = """
ALTER TABLE orchestrator.integrations ADD COLUMN in_warehouse BOOLEAN DEFAULT 'false' NOT NULL;
ALTER TABLE orchestrator.integrations ALTER COLUMN in_warehouse DROP DEFAULT;
ALTER TABLE orchestrator.integrations NO FORCE ROW LEVEL SECURITY;
ALTER TABLE orchestrator.destinations NO FORCE ROW LEVEL SECURITY;
UPDATE orchestrator.integrations i SET in_warehouse = true
FROM orchestrator.destinations d
WHERE d.org_id = i.org_id AND d.id = i.destination_id AND d.type = 'warehouse'
  AND COALESCE(d.config #>> '{connection,server}', 'built_in') = 'built_in';
"""

_SHARED = """
SELECT target_schema, array_agg(id::text ORDER BY id) FROM orchestrator.integrations
WHERE in_warehouse GROUP BY target_schema HAVING count(*) > 1 ORDER BY target_schema LIMIT 1
"""

# A unique index looks at every row, whoever may see it: this is what keeps organizations apart in the warehouse.
_CLAIM = """
ALTER TABLE orchestrator.integrations FORCE ROW LEVEL SECURITY;
ALTER TABLE orchestrator.destinations FORCE ROW LEVEL SECURITY;
CREATE UNIQUE INDEX integrations_warehouse_schema ON orchestrator.integrations (target_schema) WHERE in_warehouse;
"""

# What ran, what it said and where it came to stays: neither an integration nor a run can be deleted from under it.
_HISTORY = """
ALTER TABLE orchestrator.{table} DROP CONSTRAINT {table}_org_id_{column}_fkey;
ALTER TABLE orchestrator.{table} ADD CONSTRAINT {table}_org_id_{column}_fkey
    FOREIGN KEY (org_id, {column}) REFERENCES orchestrator.{parent} (org_id, id);
"""

_RIGHTS = """
REVOKE DELETE ON orchestrator.organizations, orchestrator.workspaces, orchestrator.destinations, orchestrator.runs
    FROM orchestrator_app;
CREATE POLICY drafts ON orchestrator.integrations AS RESTRICTIVE FOR DELETE USING (setup_state = 'draft');
"""


def upgrade() -> None:
    """Claim what is loaded into today, then close the ways to overwrite and to forget."""
    op.execute(_MARK_BUILT_IN)
    shared = op.get_bind().execute(text(_SHARED)).first()
    if shared is not None:
        raise SharedSchemaError(shared[0], shared[1])
    op.execute(_CLAIM)
    for table in ("runs", "stream_states"):
        op.execute(_HISTORY.format(table=table, column="integration_id", parent="integrations"))
    for table in ("integration_sync_logs", "run_attempts", "run_streams"):
        op.execute(_HISTORY.format(table=table, column="run_id", parent="runs"))
    op.execute(_RIGHTS)
