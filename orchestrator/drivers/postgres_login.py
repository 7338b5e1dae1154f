"""Whether a Postgres somebody named lets a login in, asked before anything is saved or started with it."""

import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from orchestrator.kernel.errors import ConnectionTestFailedError

if TYPE_CHECKING:
    import psycopg

_SECONDS = 10  # for the connection, and for the statement
_LONGEST = 120.0  # seconds for all that is done with a connection; limits of statements are the server's to keep
_MOST = 16 * 1024**2  # bytes that it may send meanwhile; the driver keeps whole answers in our memory
_LOOK = 0.05  # seconds between looks at both
_RECEIVED = 128  # where in the kernel's answer they are counted; source: linux/tcp.h, tcpi_bytes_received
_NOWHERE = "/nonexistent"  # libpq would take certificates and passwords from this machine's user


class LoginRefusedError(ConnectionTestFailedError):
    """The server can't be used with this login, in its own words."""

    code = "login_refused"

    def __init__(self, why: str, hint: str) -> None:
        super().__init__(f"Postgres can't be used with this login: {why}.", hint=hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A server and who signs in there.

    tls:        libpq's sslmode
    authority:  certificate in PEM that signed the server's, for the modes that verify
    """

    host: str
    port: int
    database: str
    user: str
    password: SecretStr
    tls: str
    authority: str | None = None


def check(login: Login, *, address: str) -> None:
    """Sign in at this address, under the login's host name, and see that schemas can be made there.

    Raises LoginRefusedError.
    """
    with connected(login, address=address) as connection:
        asked = connection.execute("SELECT has_database_privilege(current_database(), 'CREATE')")
        [may_create] = asked.fetchone() or [False]
    if not may_create:
        why = f"{login.user} may not create schemas in {login.database}"
        raise LoginRefusedError(why, f"Let it: GRANT CREATE ON DATABASE {login.database} TO {login.user}.")


@contextmanager
def connected(login: Login, *, address: str) -> Iterator["psycopg.Connection"]:
    """A connection at this address, under the login's host name. Raises LoginRefusedError, also for what follows.

    The server is whose somebody says it is: where it takes a statement and never answers, or without end, it is hung up
    on.
    """
    import psycopg

    with tempfile.TemporaryDirectory(prefix="orchestrator-") as folder:
        try:
            with psycopg.connect(**_parameters(login, address, Path(folder))) as connection, _hung_up(connection):
                yield connection
        except psycopg.Error as error:
            lines = str(error).strip().splitlines()
            why = lines[0].rstrip(".") if lines else type(error).__name__
            raise LoginRefusedError(why, "Check host, port, database, user, password and encryption.") from None


@contextmanager
def _hung_up(connection: "psycopg.Connection") -> Iterator[None]:
    """End the connection from outside when its time is over, or too much has come: the driver knows no such bounds."""
    done = threading.Event()
    with socket.socket(fileno=os.dup(connection.fileno())) as line:

        def watch() -> None:
            until = time.monotonic() + _LONGEST
            while not done.wait(_LOOK):
                if time.monotonic() > until or _received(line) > _MOST:
                    with suppress(OSError):  # gone by itself
                        line.shutdown(socket.SHUT_RDWR)
                    return

        watching = threading.Thread(target=watch, daemon=True)
        watching.start()
        try:
            yield
        finally:
            done.set()
            watching.join()
            if connection.broken:
                connection.pgconn.finish()  # psycopg lets go of a broken one when nothing refers to it any more


def _received(line: socket.socket) -> int:
    """Bytes that came so far; 0 where the kernel doesn't tell."""
    if sys.platform != "linux":
        return 0
    facts = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RECEIVED + 8)
    return int.from_bytes(facts[_RECEIVED:], sys.byteorder) if len(facts) == _RECEIVED + 8 else 0


def _parameters(login: Login, address: str, folder: Path) -> dict[str, Any]:
    """What psycopg connects with; nothing of it comes from this machine's environment or files."""
    authority = folder / "authority.pem"
    if login.authority is not None:
        authority.write_text(login.authority, encoding="utf-8")
    return {
        "host": login.host,
        "hostaddr": address,
        "port": login.port,
        "dbname": login.database,
        "user": login.user,
        "password": login.password.get_secret_value(),
        "sslmode": login.tls,
        "sslrootcert": str(authority),
        "sslcert": _NOWHERE,
        "sslkey": _NOWHERE,
        "gssencmode": "disable",
        "connect_timeout": _SECONDS,
        "options": f"-c statement_timeout={_SECONDS}s",
        "application_name": "orchestrator",
    }
