"""Decisions about integrations: names, selection, catalogs, health. No clock, no I/O."""

from orchestrator.domains.integrations.rules.checking import reason_in
from orchestrator.domains.integrations.rules.entries import (
    entry_key,
    entry_mode,
    entry_problem,
    field_inclusion,
    fields,
    modes,
    primary_key,
    replication_key,
)
from orchestrator.domains.integrations.rules.health import consequence, disable_after_of, display_status, health
from orchestrator.domains.integrations.rules.picking import aimed_at, matching, read_fields, run_catalog
from orchestrator.domains.integrations.rules.places import (
    WAREHOUSE,
    in_one_table,
    is_built_in,
    login_of,
    name_problem,
    schema_name,
    schema_problem,
    scratch_name,
    table_of,
)

__all__ = [
    "WAREHOUSE",
    "aimed_at",
    "consequence",
    "disable_after_of",
    "display_status",
    "entry_key",
    "entry_mode",
    "entry_problem",
    "field_inclusion",
    "fields",
    "health",
    "in_one_table",
    "is_built_in",
    "login_of",
    "matching",
    "modes",
    "name_problem",
    "primary_key",
    "read_fields",
    "reason_in",
    "replication_key",
    "run_catalog",
    "schema_name",
    "schema_problem",
    "scratch_name",
    "table_of",
]
