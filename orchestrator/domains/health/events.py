"""Facts about integrations that follow from several domains at once."""

from dataclasses import dataclass
from typing import ClassVar

from orchestrator.kernel.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshnessChanged(Event):
    """Its data became late, or no longer is: a sync came through, or nothing promises any any more.

    as_of:  when the newest sync began that its schedules waited for; None where there was none
    due:    when the one is to be there that they wait for now; None where they wait for none
    """

    name: ClassVar[str] = "integration.freshness_changed.v1"
    integration_id: str
    late: bool
    as_of: str | None
    due: str | None
