"""The vault's cryptography: which key and which context belong to a place. The form of a blob is in types."""

import secrets

from pydantic import SecretStr

from orchestrator.domains.vault.errors import SecretDamagedError
from orchestrator.domains.vault.types import DataKey, Place, Stored
from orchestrator.kernel import ids, sealing


def new_data_key(version: int) -> DataKey:
    """A fresh random data key."""
    return DataKey(id=ids.new("dek"), version=version, secret=SecretStr(secrets.token_hex(sealing.KEY_BYTES)))


def raw(data_key: DataKey) -> bytes:
    """The 32 bytes, for wrapping."""
    return bytes.fromhex(data_key.secret.get_secret_value())


def opened(key_id: str, version: int, unwrapped: bytes) -> DataKey:
    """A data key from its unwrapped bytes."""
    return DataKey(id=key_id, version=version, secret=SecretStr(unwrapped.hex()))


def wrap_context(org_id: str, key_id: str, version: int) -> bytes:
    """What a wrapped data key is bound to."""
    return sealing.context("data key", org_id, key_id, str(version))


def encrypted(data_key: DataKey, place: Place, value: SecretStr) -> Stored:
    """The value, sealed for this place."""
    plaintext = value.get_secret_value().encode("utf-8", "surrogatepass")
    sealed = sealing.seal(raw(data_key), plaintext, _context(place, data_key.id))
    return Stored(place=place, data_key_id=data_key.id, blob=_id_bytes(data_key.id) + sealed)


def decrypted(data_key: DataKey, stored: Stored) -> SecretStr:
    """The value. Raises SecretDamagedError, which names the place and nothing else."""
    head = _id_bytes(data_key.id)
    if stored.data_key_id != data_key.id or stored.blob[: len(head)] != head:
        raise SecretDamagedError(stored.place)
    try:
        plaintext = sealing.unseal(raw(data_key), stored.blob[len(head) :], _context(stored.place, data_key.id))
    except sealing.SealBrokenError:
        raise SecretDamagedError(stored.place) from None
    return SecretStr(plaintext.decode("utf-8", "surrogatepass"))


def _context(place: Place, key_id: str) -> bytes:
    owner = place.owner
    return sealing.context("v1", owner.table, place.org_id, owner.row_id, place.field, str(place.version), key_id)


def _id_bytes(key_id: str) -> bytes:
    return ids.decode("dek", key_id).bytes
