"""What can go wrong with stored secrets. A missing or unknown master key is told by drivers.keys."""

from orchestrator.domains.vault.types import Place
from orchestrator.kernel.errors import ActionNeededError


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
