"""Reviewed functions look for temporary tables and types last."""

from alembic import op

revision = "2026_11_29_1550"
down_revision = "2026_11_29_1540"
branch_labels = None
depends_on = None

# A path that doesn't name pg_temp has it first, for tables and types. Any role may make these: one with the name of
# what a function means, and a trigger on it, would run whatever that role likes as the functions' owner.
# source: PostgreSQL documentation, CREATE FUNCTION, "Writing SECURITY DEFINER Functions Safely"
_LAST = """
DO $$
DECLARE
    one record;
BEGIN
    FOR one IN
        SELECT p.oid::regprocedure AS name, substr(path, length('search_path=') + 1) AS path
        FROM pg_proc p, unnest(p.proconfig) path
        WHERE p.pronamespace = 'orchestrator'::regnamespace AND p.prosecdef AND path LIKE 'search_path=%'
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %s, pg_temp', one.name, one.path);
    END LOOP;
END
$$
"""


def upgrade() -> None:
    """Put pg_temp at the end of each one's path; whoever replaces one of them names it, too."""
    op.execute(_LAST)
