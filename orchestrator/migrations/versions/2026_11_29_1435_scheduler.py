"""What is due is fired by statements over many organizations at once, by a role that sees those it names."""

from alembic import op

revision = "2026_11_29_1435"
down_revision = "2026_11_29_1416"
branch_labels = None
depends_on = None

# The organizations of the batch that the transaction has claimed. A scalar subquery is worked out once a statement,
# not once a row.
_NAMED = "org_id = ANY ((SELECT NULLIF(current_setting('app.org_ids', true), '')::uuid[])::uuid[])"

_POLICY = """
CREATE POLICY batch ON orchestrator.{table} TO orchestrator_scheduler USING ({named}) WITH CHECK ({named});
"""

# What is due is claimed by the scheduler alone, of all organizations; so nobody else can look across by it any more.
_GRANTS = """
GRANT USAGE ON SCHEMA orchestrator TO orchestrator_scheduler;
GRANT SELECT, UPDATE ON orchestrator.schedules TO orchestrator_scheduler;
GRANT SELECT, INSERT, UPDATE ON orchestrator.schedule_slots TO orchestrator_scheduler;
GRANT SELECT, INSERT ON orchestrator.runs, orchestrator.events TO orchestrator_scheduler;
GRANT INSERT ON orchestrator.run_queue TO orchestrator_scheduler;
REVOKE EXECUTE ON FUNCTION orchestrator.claim_due_schedules(integer) FROM orchestrator_app;
GRANT EXECUTE ON FUNCTION orchestrator.claim_due_schedules(integer) TO orchestrator_scheduler;
"""


def upgrade() -> None:
    """Let the scheduler's role see the organizations that its transaction names, and do what firing takes."""
    for table in ("schedules", "schedule_slots", "runs", "run_queue", "events"):
        op.execute(_POLICY.format(table=table, named=_NAMED))
    op.execute(_GRANTS)
