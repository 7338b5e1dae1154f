"""The folder of batch files: what lies in it is bounded, and what was never said is removed.

A file belongs to the loader from the moment its BATCH message is written; the loader removes it when it is committed.
Until then it is ours. Files have their final name only when they are whole. What a tap that was killed left behind goes
when another begins, a day later: no loader comes so late.
"""

import errno
import os
import re
import shutil
import stat
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Self
from urllib.parse import unquote, urlsplit

from tap_salesforce.errors import ConfigError, StorageError

_EXPECTED = 16_000_000  # bytes of a page, until one has been seen
_OLD = 86_400.0  # seconds
_NAME = re.compile(r".+-[0-9a-f]{32}\.csv(\.gz)?(\.part)?")


class BatchFolder:
    """Gives room to files as long as there is some. Use as a context: leaving it removes what was not said.

    zipped: whether files are gzip
    room:   bytes that may lie here, if there is so much space; one file may always
    """

    def __init__(self, root: Path, prefix: str, *, zipped: bool, room: int) -> None:
        self.zipped = zipped
        self._root = root
        self._prefix = prefix
        self._room = room
        self._lock = threading.Lock()
        self._ours: dict[Path, int] = {}
        self._said: dict[Path, int] = {}
        self._coming: set[Path] = set()  # of ours, those that are not whole
        self._largest = 0
        self._closed = False

    @classmethod
    def of(cls, config: Mapping[str, Any], *, room: int) -> Self:
        """The folder that `batch_config` names, made if it is missing."""
        storage = config["storage"]
        parts = urlsplit(str(storage["root"]))
        if parts.scheme not in ("", "file") or parts.netloc not in ("", "localhost"):
            raise ConfigError(
                f"Batch files of csv cannot be written to {parts.scheme}://.",
                hint="Let batch_config.storage.root be a folder of this machine: file:///…",
            )
        root = Path(unquote(parts.path)).absolute()
        with _said_plainly(root):
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            prefix = str(storage.get("prefix") or "")
            _sweep(root, prefix)
        return cls(root, prefix, zipped=config["encoding"].get("compression") == "gzip", room=room)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._closed = True
            ours, self._ours = list(self._ours), {}
        for path in ours:  # aside first: a download that is done meanwhile gives its file the other name
            _aside(path).unlink(missing_ok=True)
            path.unlink(missing_ok=True)

    def reserve(self, stream: str, *, overdraw: bool = False) -> Path | None:
        """A name for one more file; None while there is no room.

        overdraw: there is room as soon as the loader has removed everything, whatever else is under way
        """
        with self._lock:
            self._forget()
            expected = self._largest or min(_EXPECTED, self._room)
            lying = sum(self._ours.values()) + sum(self._said.values())
            coming = sum(self._ours[path] for path in self._coming)
            full = lying + expected > self._room or coming + expected > shutil.disk_usage(self._root).free
            if full and (self._said or (self._ours and not overdraw)):
                return None
            ending = "csv.gz" if self.zipped else "csv"
            path = self._root / f"{self._prefix}{stream}-{uuid.uuid4().hex}.{ending}"
            self._ours[path] = expected
            self._coming.add(path)
            return path

    @contextmanager
    def written(self, path: Path) -> Iterator[IO[bytes]]:
        """A reserved file to write; it has its name when the block ends well, and is gone when it does not."""
        aside = _aside(path)
        with _said_plainly(self._root):
            try:
                with self._made(path, aside) as file:
                    yield file
                with self._lock:
                    self._ours[path] = size = aside.stat().st_size
                    self._largest = max(self._largest, size)
                    self._coming.discard(path)
                aside.rename(path)
            except BaseException:
                aside.unlink(missing_ok=True)
                raise

    def drop(self, path: Path) -> None:
        """Remove one of our files: nothing is in it."""
        with self._lock:
            self._ours.pop(path, None)
            self._coming.discard(path)
        path.unlink(missing_ok=True)

    def give(self, path: Path) -> None:
        """It is the loader's now."""
        with self._lock:
            self._said[path] = self._ours.pop(path)

    def take_back(self) -> None:
        """Nobody will ever read what was said: remove that too."""
        with self._lock:
            self._ours |= self._said
            self._said.clear()

    def _made(self, path: Path, aside: Path) -> IO[bytes]:
        with self._lock:
            if self._closed or path not in self._ours:
                raise StorageError("The run is over.", hint="")
            return open(aside, "wb", opener=_private)

    def _forget(self) -> None:
        for path in [path for path in self._said if not path.exists()]:
            del self._said[path]


def _aside(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _sweep(root: Path, prefix: str) -> None:
    """Remove files like ours that nobody can be waiting for."""
    for path in root.iterdir():
        if path.name.startswith(prefix) and _NAME.fullmatch(path.name):
            with suppress(OSError):  # somebody else's, or gone meanwhile
                facts = path.lstat()
                if stat.S_ISREG(facts.st_mode) and time.time() - facts.st_mtime > _OLD:
                    path.unlink()


def _private(path: str, flags: int) -> int:
    """A file of ours alone, newly made: what somebody put there, a link for instance, is not written to."""
    return os.open(path, flags | os.O_EXCL, 0o600)


@contextmanager
def _said_plainly(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as wrong:
        if wrong.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise
        raise StorageError(
            f"Batch files cannot be written to {root} ({wrong.strerror}).",
            hint="Give that folder more room, or lower bulk_page_rows: a page is a file.",
        ) from wrong
