"""The org's connected app and its one integration user: all that a client needs to sign in.

Everything here is made from the seed (or at random), so that an org started again with the same seed still knows the
credentials a person has stored. Nothing of it is worth anything outside this computer.
"""

import hmac
import secrets
import threading
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from . import ids
from .errors import SandboxError
from .ids import DIGITS

_KEY_BITS = 2048


class App:
    """Credentials of the connected app. key_file: where the JWT key is kept (made if missing, 0600)."""

    def __init__(self, seed: int | None, *, key_file: Path | None = None, redirect_uris: tuple[str, ...] = ()) -> None:
        self._root = secrets.token_bytes(32) if seed is None else sha256(f"local org {seed}".encode()).digest()
        self._key_file = key_file
        self._lock = threading.Lock()
        self.redirect_uris = redirect_uris
        self.client_id = "3MVG9" + self.derive("client id", 80)
        self.client_secret = self.derive("client secret", 64).upper()
        self.username = "integration@local-org.example"
        self.password = self.derive("password", 20)
        self.security_token = self.derive("security token", 24)
        self.refresh_token = "5Aep861" + self.derive("refresh token", 80)
        self.org_id = ids.make("00D", 1)
        self.user_id = ids.make("005", 0)

    def derive(self, purpose: str, length: int) -> str:
        """Letters and digits for a purpose, always the same for one seed."""
        text, block = "", 0
        while len(text) < length:
            digest = hmac.new(self._root, f"{purpose}:{block}".encode(), sha256).digest()
            text += "".join(DIGITS[b % 62] for b in digest)
            block += 1
        return text[:length]

    @cached_property
    def key(self) -> rsa.RSAPrivateKey:
        """The key whose certificate the app would have registered; made when first asked for."""
        with self._lock:
            if self._key_file and self._key_file.exists():
                loaded = load_pem_private_key(self._key_file.read_bytes(), password=None)
                if not isinstance(loaded, rsa.RSAPrivateKey):
                    raise SandboxError(f"{self._key_file} holds no RSA key.")
                return loaded
            made = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
            if self._key_file:
                self._key_file.touch(mode=0o600)
                self._key_file.write_bytes(_pem(made))
            return made

    def _kept_key(self, path: Path) -> str:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _ = self.key  # makes the file
        return str(path)

    @property
    def private_key(self) -> str:
        """The JWT key as PEM."""
        return _pem(self.key).decode()

    def credentials(self) -> dict[str, Any]:
        """What the command prints: everything but the JWT key, of which only the file's path."""
        shown = {n: getattr(self, n) for n in ("client_id", "client_secret", "refresh_token", "username", "password")}
        shown["security_token"] = self.security_token
        if self._key_file:
            shown["private_key_file"] = self._kept_key(self._key_file)
        return shown


def _pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
