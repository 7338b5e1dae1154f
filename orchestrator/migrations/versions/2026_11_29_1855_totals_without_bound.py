"""Totals of all runs have no upper bound: counts come from plugins, and one that overflowed stopped all runs' ends.

Changes something only where the totals were begun as BIGINT, as they were at first.
"""

from alembic import op

revision = "2026_11_29_1855"
down_revision = "2026_11_29_1815"
branch_labels = None
depends_on = None

_NUMERIC = """
ALTER TABLE orchestrator.run_totals
    ALTER COLUMN records_read TYPE NUMERIC,
    ALTER COLUMN records_written TYPE NUMERIC,
    ALTER COLUMN records_deleted TYPE NUMERIC,
    ALTER COLUMN bytes TYPE NUMERIC
"""


def upgrade() -> None:
    """What the trigger adds up is numeric already."""
    op.execute(_NUMERIC)
