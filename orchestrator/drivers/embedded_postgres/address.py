"""Where the embedded server is: its socket, how to sign in, and who uses it."""

import hashlib
import os
import stat
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from pydantic import SecretStr

from orchestrator.kernel.errors import NotAllowedError

PORT = 5432  # only names the socket file; nothing listens on TCP
PRIVATE = 0o700
_NAMES = 9  # tried, where others have taken ours
LONGEST_SOCKET = 107 if sys.platform == "linux" else 103  # bytes; source: unix(7), macOS sys/un.h


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAddress:
    """Where the server is and how to sign in.

    host:      the folder of the unix socket, as libpq takes it
    user:      the superuser, with its password
    logins:    passwords of the databases that have a login of their own, named like the database
    """

    host: str
    port: int
    user: str
    password: SecretStr
    logins: Mapping[str, SecretStr] = field(default_factory=dict)

    def url(self, database: str) -> SecretStr:
        """SQLAlchemy's URL, for psycopg 3, with the database's own login where it has one.

        The socket goes in the query: a URL's host has no slashes.
        """
        own = self.logins.get(database)
        user, password = (database, own) if own else (self.user, self.password)
        secret = quote(password.get_secret_value(), safe="")
        where = f"host={quote(self.host, safe='')}&port={self.port}"
        return SecretStr(f"postgresql+psycopg://{quote(user, safe='')}:{secret}@/{quote(database, safe='')}?{where}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    """What `doctor` shows.

    version:     of the data directory (major), None before the first start or when unreadable
    pid:         the postmaster's, None while stopped
    size_bytes:  of the data directory, WAL included
    users:       pids that hold a lease; None where the system does not tell (no /proc/locks)
    """

    running: bool
    version: int | None
    data: Path
    log: Path
    pid: int | None
    size_bytes: int
    users: tuple[int, ...] | None


def socket_folder(sockets: Path) -> str:
    """The folder as clients take it; through a short, private symlink when too long for a socket's path."""
    folder = str(sockets)
    if len(os.fsencode(f"{folder}/.s.PGSQL.{PORT}")) <= LONGEST_SOCKET:
        return folder
    return _short(folder)


def _short(folder: str) -> str:
    """A symlink to `folder` in a folder of ours below the temporary one, which nobody else can prepare.

    The first of a few names that is ours or free: two processes that differ in it still reach the same server.
    """
    first = Path(tempfile.gettempdir()) / f"orchestrator-{os.geteuid()}"
    for private in (first, *(first.with_name(f"{first.name}-{number}") for number in range(2, _NAMES + 1))):
        with suppress(FileExistsError):
            private.mkdir(mode=PRIVATE)
        state = private.lstat()
        if stat.S_ISDIR(state.st_mode) and state.st_uid == os.geteuid() and stat.S_IMODE(state.st_mode) == PRIVATE:
            break
    else:
        raise NotAllowedError(
            f"{first} is needed for a short path to the database's socket, but is not a private folder of ours,"
            f" nor is any up to {private.name}.",
            hint="Remove it, or set ORCHESTRATOR_HOME to a shorter path.",
        )
    link = private / hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    with suppress(FileExistsError):
        link.symlink_to(folder)
    return str(link)


def size_of(folder: Path) -> int:
    """Bytes of all files below the folder."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += os.lstat(Path(where) / name).st_size
    return total


def holders(lease: Path) -> tuple[int, ...] | None:
    """The pids that hold a lock on the file, None where the system does not tell.

    source: proc_locks(5): `n: FLOCK ADVISORY READ pid major:minor:inode start end`
    """
    try:
        inode, table = lease.stat().st_ino, Path("/proc/locks").read_text()
    except FileNotFoundError:
        return () if not lease.exists() else None
    rows = (line.split() for line in table.splitlines())
    return tuple(sorted(int(row[4]) for row in rows if row[1] == "FLOCK" and row[5].rsplit(":", 1)[1] == str(inode)))
