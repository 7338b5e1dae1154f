"""Use cases of integrations, in the order of a life: set up, check, choose, plan."""

from orchestrator.domains.integrations.service.checking import claim_check, discover, look_in, test
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
    public,
    restore,
)
from orchestrator.domains.integrations.service.destinations import (
    add_destination,
    destination,
    destinations,
    ensure_warehouse,
)
from orchestrator.domains.integrations.service.health import (
    figures,
    health_facts,
    note_run,
    note_sign_in,
    set_check_every,
    set_disable_after,
    switch,
)
from orchestrator.domains.integrations.service.lateness import (
    claim_due_looks,
    hold_lateness,
    look_soon,
    note_lateness,
)
from orchestrator.domains.integrations.service.opening import Opened, opened
from orchestrator.domains.integrations.service.planning import needed_scopes, plan, to_read
from orchestrator.domains.integrations.service.previewing import handover, plain_plugins, preview
from orchestrator.domains.integrations.service.scratching import drop_scratch, make_scratch, scratch_schema
from orchestrator.domains.integrations.service.selecting import change_mode, choose, choose_only, stream_counts, streams
from orchestrator.domains.integrations.service.setting_up import Follower, SetUp, Step, make_ready, set_up, verify

__all__ = [
    "Follower",
    "Opened",
    "SetUp",
    "Step",
    "add",
    "add_destination",
    "addable",
    "change_mode",
    "choose",
    "choose_only",
    "claim_check",
    "claim_due_looks",
    "connect",
    "delete",
    "destination",
    "destinations",
    "discard",
    "discover",
    "drop_scratch",
    "edit",
    "ensure_warehouse",
    "figures",
    "find",
    "handover",
    "health_facts",
    "hold",
    "hold_lateness",
    "listing",
    "look_in",
    "look_soon",
    "make_ready",
    "make_scratch",
    "needed_scopes",
    "note_lateness",
    "note_run",
    "note_sign_in",
    "opened",
    "plain_plugins",
    "plan",
    "preview",
    "public",
    "restore",
    "scratch_schema",
    "set_check_every",
    "set_disable_after",
    "set_up",
    "stream_counts",
    "streams",
    "switch",
    "test",
    "to_read",
    "verify",
]
