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
    held_back,
    settled,
    spent,
    starting,
    upcoming,
)
from orchestrator.domains.schedules.rules.exporting import Exported, crontab, crontab_environment, systemd
from orchestrator.domains.schedules.rules.lateness import promised, promised_last
from orchestrator.domains.schedules.rules.policy import blocked, check, delayed
from orchestrator.domains.schedules.rules.reading import jitter, misfire, timing
from orchestrator.domains.schedules.rules.slots import newest, slots
from orchestrator.domains.schedules.rules.words import described, policy_described

__all__ = [
    "BUSY",
    "PAUSED",
    "Exported",
    "anchored",
    "blocked",
    "broadest_first",
    "check",
    "circle",
    "covered",
    "crontab",
    "crontab_environment",
    "decide",
    "decide_waiting",
    "delayed",
    "described",
    "held_back",
    "jitter",
    "misfire",
    "newest",
    "parse",
    "policy_described",
    "promised",
    "promised_last",
    "settled",
    "slots",
    "spent",
    "starting",
    "systemd",
    "timing",
    "upcoming",
    "zone",
]
