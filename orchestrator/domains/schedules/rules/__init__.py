"""Pure decisions about schedules: reading them, their slots, what becomes of slots, and saying it in words."""

from orchestrator.domains.schedules.rules.clocks import zone
from orchestrator.domains.schedules.rules.cron import parse
from orchestrator.domains.schedules.rules.deciding import (
    BUSY,
    PAUSED,
    anchored,
    broadest_first,
    circle,
    covered,
    decide,
    decide_waiting,
    settled,
    spent,
    starting,
    upcoming,
)
from orchestrator.domains.schedules.rules.policy import MOST_CAUGHT_UP, blocked, check, delayed, windows
from orchestrator.domains.schedules.rules.slots import newest, slots
from orchestrator.domains.schedules.rules.words import described, policy_described

__all__ = [
    "BUSY",
    "MOST_CAUGHT_UP",
    "PAUSED",
    "anchored",
    "blocked",
    "broadest_first",
    "check",
    "circle",
    "covered",
    "decide",
    "decide_waiting",
    "delayed",
    "described",
    "newest",
    "parse",
    "policy_described",
    "settled",
    "slots",
    "spent",
    "starting",
    "upcoming",
    "windows",
    "zone",
]
