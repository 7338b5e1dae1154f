"""Values of the vault, and the form of what it stores.

- A master key (drivers.keys) wraps one data key per organization, bound to ("data key", org, data key id, version).
- A data key seals each value of the organization, bound to ("v1", owner table, org, owner id, field, version, data
  key id), every part length-prefixed: no blob opens at another place, in another version or under another key.
- blob = data key id (16) | sealed (see kernel.sealing for the rest)

What is not hidden: that a secret is set, when it was written, and its length.
"""

from dataclasses import dataclass
from datetime import datetime

from pydantic import SecretStr


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The row that secrets belong to; field names are dotted paths into its config, such as `auth.refresh_token`."""

    table: str
    row_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where exactly a blob belongs; a blob opens there and nowhere else."""

    org_id: str
    owner: Owner
    field: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DataKey:
    """An organization's data key, opened: in memory only."""

    id: str
    version: int
    secret: SecretStr  # hex of 32 bytes, so that no repr or log can show it


@dataclass(frozen=True, slots=True, kw_only=True)
class WrappedDataKey:
    """An organization's data key as stored."""

    id: str
    org_id: str
    version: int
    master_key_id: str
    wrapped: bytes
    active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A secret as stored."""

    place: Place
    data_key_id: str
    blob: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DataKeyUse:
    """How much hangs on a data key and its master key."""

    id: str
    version: int
    master_key_id: str
    active: bool
    secrets: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RotatedKeys:
    """What a rotation of the whole installation did.

    master_key:   id of the one that is current now
    removed:      master keys taken out of the key file, as nothing needs them
    unneeded:     master keys of the environment that nothing needs any more; the operator's to take out
    """

    master_key: str
    removed: tuple[str, ...]
    unneeded: tuple[str, ...]
    organizations: tuple["Rotated", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotated:
    """What a rotation did for one organization, so far or in the end.

    rewrapped:   data keys now under the current master key
    renewed:     secrets encrypted again
    left:        secrets still under an older data key
    removed:     older data keys deleted, as nothing needs them
    damaged:     secrets that don't open; left as they are, with their key
    """

    org_id: str
    rewrapped: int = 0
    renewed: int = 0
    left: int = 0
    removed: int = 0
    damaged: tuple[Place, ...] = ()
