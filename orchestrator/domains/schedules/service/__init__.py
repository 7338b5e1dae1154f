"""Use cases of schedules, in the order of a life: add, look ahead, change, rest, fire, delete."""

from orchestrator.domains.schedules.service.changing import EVENTS, add, delete, edit, pause, resume
from orchestrator.domains.schedules.service.finding import find, imagine, lag, last_slots, listing, preview, slots
from orchestrator.domains.schedules.service.firing import fire_due
from orchestrator.domains.schedules.service.promising import promised, promises

__all__ = [
    "EVENTS",
    "add",
    "delete",
    "edit",
    "find",
    "fire_due",
    "imagine",
    "lag",
    "last_slots",
    "listing",
    "pause",
    "preview",
    "promised",
    "promises",
    "resume",
    "slots",
]
