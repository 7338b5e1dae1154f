"""Authenticated encryption for small values: AES-256-GCM under a key derived for exactly one context.

A context says where a value belongs. It is part of the key derivation and of the authenticated data, so a value
opened anywhere else, or with any other key, does not open at all.

sealed = 0x01 | commitment (32) | nonce (12) | ciphertext (as long as the plaintext) | tag (16)

HKDF-SHA256 over the key, with the context as info, gives 64 bytes: an encryption key and the commitment. GCM alone
doesn't commit to its key (one ciphertext may open under two); comparing the commitment first does. As every context
has an encryption key of its own, random nonces stay far below GCM's limit of 2^32 uses of one key.
source: NIST SP 800-38D section 8.3; RFC 5869; Albertini et al., "How to Abuse and Fix Authenticated Encryption
Without Key Commitment", USENIX Security 2022
"""

import hmac
import secrets

KEY_BYTES = 32
_VERSION = b"\x01"
_COMMITMENT = 32
_NONCE = 12
_TAG = 16
OVERHEAD = len(_VERSION) + _COMMITMENT + _NONCE + _TAG


class SealBrokenError(Exception):
    """Another key, another context, or changed bytes; which of them can't be told. Callers say whose value it was."""


def context(*parts: str | bytes) -> bytes:
    """Join parts so that no two lists of parts give the same bytes: each is preceded by its length (4 bytes)."""
    raw = [part.encode() if isinstance(part, str) else part for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in raw)


def seal(key: bytes, plaintext: bytes, bound_to: bytes) -> bytes:
    """Encrypt, bound to a context; two seals of one value differ."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    encryption_key, commitment = _derived(key, bound_to)
    nonce = secrets.token_bytes(_NONCE)
    return _VERSION + commitment + nonce + AESGCM(encryption_key).encrypt(nonce, plaintext, bound_to)


def unseal(key: bytes, sealed: bytes, bound_to: bytes) -> bytes:
    """The plaintext, exactly as sealed for this context. Raises SealBrokenError."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    encryption_key, commitment = _derived(key, bound_to)
    head = _VERSION + commitment
    if len(sealed) < OVERHEAD or not hmac.compare_digest(sealed[: len(head)], head):
        raise SealBrokenError
    nonce, ciphertext = sealed[len(head) : len(head) + _NONCE], sealed[len(head) + _NONCE :]
    try:
        return AESGCM(encryption_key).decrypt(nonce, ciphertext, bound_to)
    except InvalidTag:
        raise SealBrokenError from None


def derived(key: bytes, purpose: bytes, length: int) -> bytes:
    """Bytes that follow from the key and say nothing about it (HKDF-SHA256)."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), length, salt=None, info=purpose).derive(key)


def _derived(key: bytes, bound_to: bytes) -> tuple[bytes, bytes]:
    both = derived(key, b"orchestrator seal v1\0" + bound_to, 64)
    return both[:32], both[32:]
