"""Use cases of integrations, in the order of a life: set up, check, choose, plan."""

from orchestrator.domains.integrations.service.checking import discover, test
from orchestrator.domains.integrations.service.configuring import (
    add,
    catalog,
    connect,
    delete,
    edit,
    ensure_warehouse,
    find,
    listing,
    note_health,
    public,
    restore,
    switch,
)
from orchestrator.domains.integrations.service.opening import Opened, opened
from orchestrator.domains.integrations.service.planning import plan, to_read
from orchestrator.domains.integrations.service.selecting import change_mode, choose, choose_fields, streams

__all__ = [
    "Opened",
    "add",
    "catalog",
    "change_mode",
    "choose",
    "choose_fields",
    "connect",
    "delete",
    "discover",
    "edit",
    "ensure_warehouse",
    "find",
    "listing",
    "note_health",
    "opened",
    "plan",
    "public",
    "restore",
    "streams",
    "switch",
    "test",
    "to_read",
]
