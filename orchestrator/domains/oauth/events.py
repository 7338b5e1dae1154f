"""Facts about credentials."""

from dataclasses import dataclass
from typing import ClassVar

from orchestrator.kernel.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class ReauthNeeded(Event):
    """The provider no longer lets us in; a person has to sign in again."""

    name: ClassVar[str] = "credential.reauth_needed"
    credential_id: str
    reason: str
