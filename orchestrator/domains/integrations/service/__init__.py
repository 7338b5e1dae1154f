"""Use cases of integrations, in the order of a life: set up, check, choose, plan."""

from orchestrator.domains.integrations.service.checking import discover, test
from orchestrator.domains.integrations.service.configuring import (
    add,
    addable,
    connect,
    delete,
    discard,
    edit,
    find,
    hold,
    listing,
    note_health,
    note_sign_in,
    public,
    restore,
    switch,
)
from orchestrator.domains.integrations.service.destinations import (
    add_destination,
    destination,
    destinations,
    ensure_warehouse,
)
from orchestrator.domains.integrations.service.opening import Opened, opened
from orchestrator.domains.integrations.service.planning import plan, to_read
from orchestrator.domains.integrations.service.previewing import preview
from orchestrator.domains.integrations.service.selecting import change_mode, choose, stream_counts, streams

__all__ = [
    "Opened",
    "add",
    "add_destination",
    "addable",
    "change_mode",
    "choose",
    "connect",
    "delete",
    "destination",
    "destinations",
    "discard",
    "discover",
    "edit",
    "ensure_warehouse",
    "find",
    "hold",
    "listing",
    "note_health",
    "note_sign_in",
    "opened",
    "plan",
    "preview",
    "public",
    "restore",
    "stream_counts",
    "streams",
    "switch",
    "test",
    "to_read",
]
