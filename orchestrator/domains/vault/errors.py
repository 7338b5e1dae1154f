"""What can go wrong with stored secrets. A missing or unknown master key is told by drivers.keys."""

from orchestrator.domains.vault.types import Place
from orchestrator.kernel.errors import ActionNeededError, UsageError


class SecretDamagedError(ActionNeededError):
    """A stored secret doesn't open at its place: it was changed, moved, cut or rolled back outside of us."""

    code = "secret_damaged"

    def __init__(self, place: Place) -> None:
        super().__init__(
            f"The stored {place.field} of {place.owner.table} {place.owner.row_id} was damaged and can't be opened.",
            hint="Enter it again, or restore the table vault_secrets from a backup.",
            table=place.owner.table,
            row=place.owner.row_id,
            field=place.field,
        )


class KeyNotRotatedError(UsageError):
    """The master key comes from the environment, which only the operator can change."""

    code = "key_not_rotated"

    def __init__(self, current: str) -> None:
        super().__init__(
            f"The master key {current} comes from INTEGRATION_ENCRYPTION_KEY, so a new one has to be put there first.",
            hint="Make one (openssl rand -base64 32), set INTEGRATION_ENCRYPTION_KEY to new,old for every process, "
            "and run this again.",
            key_id=current,
        )
