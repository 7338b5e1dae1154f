"""Where master keys come from: INTEGRATION_ENCRYPTION_KEY, and a key file only its owner can read.

A master key never encrypts a value; it wraps the data keys of organizations. A ring holds several: the first is
current and wraps, all of them unwrap. A key management service would take the place of `KeyRing` with the same
`current`, `wrap` and `unwrap`.

key text = 32 random bytes as hex, base64 or base64url. The file holds one a line, current first; `#` starts a comment.
wrapped = sealed (see kernel.sealing), bound to the caller's context and the id of the master key
"""

import base64
import fcntl
import os
import re
import secrets
import stat
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from pydantic import SecretStr

from orchestrator.kernel import sealing
from orchestrator.kernel.errors import ActionNeededError, ConflictError, InvalidConfigError

ENVIRONMENT = "INTEGRATION_ENCRYPTION_KEY"  # also the source of the keys that stand there
_HEX = re.compile(r"[0-9A-Fa-f]{64}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{43}=?")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_LARGEST_FILE = 64 * 1024


class MissingKeyError(ActionNeededError):
    """There is no master key at all: nothing can be encrypted or decrypted."""

    code = "master_key_missing"

    def __init__(self, key_file: Path) -> None:
        super().__init__(
            "There is no master key, so stored secrets can't be opened or saved. Nothing was changed.",
            hint=f"Set {ENVIRONMENT}, or put the key file back at {key_file} (a new installation: orchestrator init).",
        )


class UnknownKeyError(ActionNeededError):
    """The data was wrapped by a master key that isn't here."""

    code = "master_key_unknown"

    def __init__(self, key_id: str, known: Sequence[str]) -> None:
        here = ", ".join(known)
        super().__init__(
            f"Secrets are locked by master key {key_id}, which isn't here (here: {here}). Nothing was changed.",
            hint=f"Add the key that was used before to {ENVIRONMENT} (after a comma) or to the key file (a line).",
            key_id=key_id,
        )


class WrappedKeyDamagedError(ActionNeededError):
    """The master key is the right one, but what it wrapped was changed or belongs elsewhere."""

    code = "wrapped_key_damaged"

    def __init__(self, key_id: str) -> None:
        super().__init__(
            f"A data key wrapped by master key {key_id} was damaged or moved, and doesn't open.",
            hint="Restore the table vault_data_keys from a backup; the secrets themselves are untouched.",
            key_id=key_id,
        )


class InvalidKeyError(InvalidConfigError):
    """A master key that isn't 32 bytes in a spelling we read. Never shows the text."""

    code = "master_key_invalid"

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(
            f"The master key in {where} can't be used: {problem}.",
            hint="It is 32 random bytes as hex (64 characters) or base64 (44), for example from: openssl rand -hex 32",
            problems=((where, problem),),
        )


class KeyFileError(InvalidConfigError):
    """The key file can't be read safely."""

    code = "key_file_unusable"

    def __init__(self, path: Path, problem: str, hint: str) -> None:
        super().__init__(f"The key file {path} {problem}.", hint=hint, problems=((str(path), problem),))


class KeyFileExistsError(ConflictError):
    """A key file is never overwritten."""

    code = "key_file_exists"

    def __init__(self, path: Path) -> None:
        super().__init__(f"There is a key file at {path} already.", hint="It is left as it is; use it.")


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterKey:
    """A master key in memory: 32 bytes, an id that reveals nothing of them, and where it came from."""

    id: str
    source: str
    secret: SecretStr  # hex, so that no repr or log can show it

    @classmethod
    def of(cls, raw: bytes, source: str) -> "MasterKey":
        """Give raw bytes their id: 16 hex digits, HKDF-derived."""
        fingerprint = sealing.derived(raw, b"orchestrator master key id v1", 8).hex()
        return cls(id=fingerprint, source=source, secret=SecretStr(raw.hex()))

    @property
    def raw(self) -> bytes:
        """The 32 bytes."""
        return bytes.fromhex(self.secret.get_secret_value())


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapped:
    """A data key under a master key: which one, and the bytes."""

    key_id: str
    blob: bytes


class KeyRing:
    """The master keys at hand. May be empty: then it can be asked, and fails closed. Threads may share it.

    The key file is read again where a key is unknown and before anything is wrapped, so that a process that has run
    for weeks follows a rotation.
    """

    def __init__(self, given: Sequence[MasterKey], key_file: Path) -> None:
        self._given = tuple(given)
        self._key_file = key_file
        self._lock = threading.Lock()
        self._keys = self._read()

    @classmethod
    def load(cls, encryption_key: SecretStr | None, key_file: Path) -> "KeyRing":
        """Keys of the setting first (several: comma separated), then those of the file, where there is one.

        Raises InvalidKeyError, KeyFileError; never with content.
        """
        texts = [] if encryption_key is None else encryption_key.get_secret_value().split(",")
        given = [MasterKey.of(_parsed(text, ENVIRONMENT), ENVIRONMENT) for text in texts if text.strip()]
        if encryption_key is not None and not given:
            raise InvalidKeyError(ENVIRONMENT, "it is empty")
        return cls(given, key_file)

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self._keys)})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key ring stays in its process")

    def __bool__(self) -> bool:
        return bool(self._keys)

    @property
    def current(self) -> str:
        """The id of the key that wraps. Raises MissingKeyError."""
        return self._current().id

    @property
    def keys(self) -> tuple[MasterKey, ...]:
        """Every key at hand, current first."""
        return tuple(self._keys.values())

    def wrap(self, data_key: bytes, aad: bytes) -> Wrapped:
        """Lock a data key with the current master key, bound to `aad`. Raises MissingKeyError."""
        self.reload()
        key = self._current()
        return Wrapped(key_id=key.id, blob=sealing.seal(key.raw, data_key, sealing.context("wrap", key.id, aad)))

    def unwrap(self, key_id: str, blob: bytes, aad: bytes) -> bytes:
        """The data key. Raises MissingKeyError, UnknownKeyError, WrappedKeyDamagedError."""
        key = self._keys.get(key_id)
        if key is None:
            self.reload()
            key = self._keys.get(key_id)
        if key is None:
            self._current()
            raise UnknownKeyError(key_id, tuple(self._keys))
        try:
            return sealing.unseal(key.raw, blob, sealing.context("wrap", key.id, aad))
        except sealing.SealBrokenError:
            raise WrappedKeyDamagedError(key_id) from None

    def reload(self) -> None:
        """Read the key file again; a file that has gone meanwhile takes no key away from a running process."""
        fresh = self._read()
        with self._lock:
            if fresh:
                self._keys = fresh | {key_id: key for key_id, key in self._keys.items() if key_id not in fresh}

    def _current(self) -> MasterKey:
        if not self._keys:
            raise MissingKeyError(self._key_file)
        return next(iter(self._keys.values()))

    def _read(self) -> dict[str, MasterKey]:
        found = [*self._given]
        if _is_there(self._key_file):
            found += [MasterKey.of(_parsed(line, name), name) for name, line in _file_keys(self._key_file)]
        ring: dict[str, MasterKey] = {}
        for key in found:
            ring.setdefault(key.id, key)
        return ring


def create_key_file(path: Path) -> str:
    """Make a key file with one new key, 0600, whole or not at all; answers the key's id. Raises KeyFileExistsError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    raw = secrets.token_bytes(sealing.KEY_BYTES)
    temporary = _written_beside(path, [_text(raw)])
    try:
        os.link(temporary, path)  # unlike a rename, refuses where there is a file
    except FileExistsError:
        raise KeyFileExistsError(path) from None
    finally:
        temporary.unlink()
    _sync_folder(path.parent)
    return MasterKey.of(raw, str(path)).id


def add_key(path: Path) -> str:
    """Put a new key first in the file; those that were there still unwrap. Answers the new key's id.

    Raises KeyFileError, InvalidKeyError; the file is then as before.
    """
    raw = secrets.token_bytes(sealing.KEY_BYTES)
    with _locked(path):
        kept = [_checked(name, line) for name, line in _file_keys(path)]
        _replace(path, [_text(raw), *kept])
    return MasterKey.of(raw, str(path)).id


def remove_unused(path: Path, used_ids: Collection[str]) -> tuple[str, ...]:
    """Drop keys of the file that wrap nothing any more; the current one always stays. Answers the ids dropped."""
    with _locked(path):
        lines = [_checked(name, line) for name, line in _file_keys(path)]
        ids = [MasterKey.of(_parsed(line, str(path)), str(path)).id for line in lines]
        kept = [line for at, line in enumerate(lines) if at == 0 or ids[at] in used_ids]
        gone = tuple(key_id for at, key_id in enumerate(ids) if at > 0 and key_id not in used_ids)
        if gone:
            _replace(path, kept)
    return gone


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _parsed(text: str, where: str) -> bytes:
    text = text.strip()
    if _HEX.fullmatch(text):
        return bytes.fromhex(text)
    if _BASE64.fullmatch(text):
        return base64.b64decode(text.rstrip("=").translate(str.maketrans("-_", "+/")) + "=")
    raise InvalidKeyError(where, _problem(text))


def _problem(text: str) -> str:
    if not text:
        return "it is empty"
    if re.fullmatch(r"[A-Za-z0-9+/_-]+={0,2}", text):
        return f"it has {len(text)} characters where 64 (hex) or 44 (base64) are needed"
    return "it is neither hex nor base64"


def _checked(name: str, line: str) -> str:
    _parsed(line, name)
    return line


def _file_keys(path: Path) -> Iterator[tuple[str, str]]:
    """Each key of the file with a name for messages. Raises KeyFileError."""
    lines = [line.strip() for line in _content(path).splitlines()]
    found = [(f"{path}, line {at}", line) for at, line in enumerate(lines, 1) if line and not line.startswith("#")]
    if not found:
        raise KeyFileError(path, "holds no key", "Put the key back, or remove the file if nothing was saved with it.")
    yield from found


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:  # a folder above it is closed to us
        hint = "Run orchestrator as the user whose home that is, or set ORCHESTRATOR_HOME."
        raise KeyFileError(path, f"can't be reached ({error.strerror})", hint) from None


def _content(path: Path) -> str:
    if path.exists() and not path.is_file():
        raise KeyFileError(path, "is not a file", "Remove what is there.")
    try:
        with path.open("rb") as file:
            about = os.fstat(file.fileno())
            if about.st_uid not in {os.geteuid(), 0}:
                problem = f"belongs to another user ({about.st_uid}), who can change it"
                raise KeyFileError(path, problem, f"Make it yours: chown {os.geteuid()} {path}")
            if about.st_mode & _OTHERS:
                raise KeyFileError(path, "can be read or changed by others", f"chmod 600 {path}")
            return file.read(_LARGEST_FILE).decode("ascii")
    except UnicodeDecodeError:
        raise KeyFileError(path, "is not text", "Put the key back: one a line, as base64 or hex.") from None
    except OSError as error:
        problem = f"can't be read ({error.strerror})"
        raise KeyFileError(path, problem, f"It belongs to the user who runs orchestrator: ls -l {path}") from None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One change of the file at a time; the lock is on its folder, which outlives a rename."""
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise KeyFileError(path, f"can't be reached ({error.strerror})", "Run: orchestrator init") from None
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _replace(path: Path, lines: Sequence[str]) -> None:
    temporary = _written_beside(path, lines)
    temporary.replace(path)
    _sync_folder(path.parent)


def _written_beside(path: Path, lines: Sequence[str]) -> Path:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write("".join(f"{line}\n" for line in lines))
        file.flush()
        os.fsync(file.fileno())
    return temporary


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
