"""The process beside the embedded server: starts it, waits until nobody uses it any more, stops it.

Runs detached and alone (`python -I -S keeper.py PLAN`), so this file imports the standard library only.
It is the server's parent, which is what reaps it; it sleeps on nothing but an event and costs two
`flock` calls per look. Killing it does no harm: the server goes on, and whoever starts next sends a new
keeper to adopt it.

What is alive is never judged by a pid: a lock file is held by an inherited descriptor (`keeper.lock` by
the keeper, `server.lock` by the postmaster and every backend), and the kernel frees it with the last of
them, kill -9 included.
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Literal, NamedTuple

LOG_LIMIT = 5_000_000  # bytes; the log is then moved to `.1`, so at most twice that is kept
STOP_SECONDS = 60.0  # a fast shutdown writes one checkpoint; after that it is cut short


class Files(NamedTuple):
    """Where everything of one embedded server is. Only `server/` belongs to the server's user."""

    root: Path

    @property
    def mutex(self) -> Path:
        """Held by whoever starts or stops the server."""
        return self.root / "mutex.lock"

    @property
    def lease(self) -> Path:
        """Held shared by each process that uses the server; its modification time is the last use."""
        return self.root / "lease.lock"

    @property
    def keeper(self) -> Path:
        """Held by the keeper as long as it lives."""
        return self.root / "keeper.lock"

    @property
    def running(self) -> Path:
        """Held by every process of the server (or of initdb) as long as one lives."""
        return self.root / "server.lock"

    @property
    def password(self) -> Path:
        """The scram password of our role, 0600."""
        return self.root / "password"

    @property
    def warehouse_password(self) -> Path:
        """The scram password of the warehouse's own role, 0600."""
        return self.root / "warehouse-password"

    @property
    def ready(self) -> Path:
        """The names of the databases known to exist, as JSON."""
        return self.root / "databases.json"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.root / "postgres.log"

    @property
    def server(self) -> Path:
        """The folder of the server's user."""
        return self.root / "server"

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.server / "data"

    @property
    def sockets(self) -> Path:
        """The folder of the unix socket."""
        return self.server / "run"


class Plan(NamedTuple):
    """What a keeper is told, as one JSON argument. Holds no secret: argv is public.

    command:  the server's argv; empty = one is running already, adopt it
    account:  (uid, gid) to drop to, or None
    lock:     descriptor of the held `server.lock`, to be passed to the server; -1 when adopting
    pid:      the postmaster's when adopting, else 0
    linger:   seconds the server stays up after the last lease is gone
    """

    root: str
    command: tuple[str, ...]
    account: tuple[int, int] | None
    lock: int
    pid: int
    linger: float


def hold(path: Path, how: int) -> int | None:
    """A descriptor that holds the lock, or None when another holds it. Closing it frees the lock."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def is_free(path: Path) -> bool:
    """Whether nobody holds the lock at this moment."""
    descriptor = hold(path, fcntl.LOCK_EX)
    if descriptor is None:
        return False
    os.close(descriptor)
    return True


def ping(path: str, user: str, *, seconds: float = 5.0) -> Literal["ready", "busy", "away"]:
    """Ask the server whether it takes connections, as pg_isready does: one start-up message, no password.

    busy = alive but starting, recovering or stopping (SQLSTATE 57P03), or too slow to answer.
    source: PostgreSQL documentation, "Message Formats": StartupMessage, ErrorResponse.
    """
    body = struct.pack("!I", 196608) + b"user\0" + user.encode() + b"\0database\0postgres\0\0"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(seconds)
        try:
            sock.connect(path)
        except BlockingIOError:
            return "busy"  # its queue of connections is full
        except TimeoutError:
            return "busy"
        except (FileNotFoundError, ConnectionRefusedError):
            return "away"
        try:
            sock.sendall(struct.pack("!I", len(body) + 4) + body)
            answer = sock.recv(1024)
        except OSError:
            return "busy"  # closed in our face or silent: look again
    if not answer:
        return "busy"
    return "busy" if answer[:1] == b"E" and b"C57P03\0" in answer else "ready"


def listener_pid(path: str) -> int | None:
    """The pid of the process that listens there, from the kernel (Linux and macOS); None when unknown."""
    level, option, shape = (socket.SOL_SOCKET, socket.SO_PEERCRED, "3i") if sys.platform == "linux" else (0, 2, "i")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(1.0)
        try:
            sock.connect(path)
            answer = sock.getsockopt(level, option, struct.calcsize(shape))
        except OSError:
            return None
    pid: int = struct.unpack(shape, answer)[0]
    return pid or None


def stop(pid: int, files: Files, *, seconds: float = STOP_SECONDS) -> bool:
    """End the server in order: fast shutdown, then an immediate one; whether it is gone at the end."""
    for how, patience in ((signal.SIGINT, seconds), (signal.SIGQUIT, seconds / 4)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, how)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            if is_free(files.running):
                return True
            time.sleep(0.005)
    return False


def trim(log: Path, limit: int = LOG_LIMIT) -> None:
    """Keep the log small. The server writes with O_APPEND, so it goes on at the new beginning."""
    if log.stat().st_size > limit:
        shutil.copyfile(log, log.with_suffix(".log.1"))
        os.truncate(log, 0)


def launch(plan: Plan, files: Files) -> int:
    """Start the server, give it its lock and let go of it; returns the pid."""
    who = {"user": plan.account[0], "group": plan.account[1], "extra_groups": []} if plan.account else {}
    log = os.open(files.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # Never our own environment: it may hold keys, and a database superuser can read the server's.
        server = subprocess.Popen(  # type: ignore[call-overload]  # `who` is a plain dict of known options
            plan.command, cwd=files.data, env={"LC_ALL": "C", "PATH": os.defpath}, umask=0o077,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            pass_fds=(plan.lock,), **who,
        )  # fmt: skip
    finally:
        os.close(log)
        os.close(plan.lock)
    pid: int = server.pid
    server.returncode = 0  # we reap it ourselves; without this, subprocess would warn that it still runs
    return pid


class Idleness:
    """For how long nobody has held a lease."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._since: float | None = None
        self._used = 0.0

    def seconds(self) -> float:
        """Seconds since nobody was seen, 0 while somebody is there or came and went in between."""
        now, used = time.monotonic(), self._files.lease.stat().st_mtime
        if not is_free(self._files.lease):
            self._since = None
        elif self._since is None or used != self._used:
            self._since = now
        self._used = used
        return 0.0 if self._since is None else now - self._since


def stop_when_unused(pid: int, files: Files) -> bool:
    """Stop the server unless somebody comes just now. Newcomers wait at the lease until we are done."""
    mutex = hold(files.mutex, fcntl.LOCK_EX)
    if mutex is None:
        return False
    try:
        lease = hold(files.lease, fcntl.LOCK_EX)
        if lease is None:
            return False
        try:
            return stop(pid, files)
        finally:
            os.close(lease)
    finally:
        os.close(mutex)


def keep(plan: Plan) -> None:
    """Watch over the server until it is gone: stopped by us when unused, or ended by itself."""
    files = Files(Path(plan.root))
    wake, told = threading.Event(), threading.Event()

    def on_term(*_: object) -> None:
        told.set()
        wake.set()

    signal.signal(signal.SIGCHLD, lambda *_: wake.set())
    signal.signal(signal.SIGTERM, on_term)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    pid = launch(plan, files) if plan.command else plan.pid
    idleness = Idleness(files)
    pause = min(5.0, max(0.05, plan.linger / 10))
    while not told.is_set():
        wake.wait(pause)
        wake.clear()
        if _ended(pid, files, own=bool(plan.command)):
            return
        trim(files.log)
        if idleness.seconds() >= plan.linger and stop_when_unused(pid, files):
            return
    stop(pid, files)


def _ended(pid: int, files: Files, *, own: bool) -> bool:
    """Whether the server is gone; our own child is reaped here."""
    if not own:
        return is_free(files.running)
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def main(argument: str) -> None:
    """Detach from whoever called, then keep. The caller returns at once and has no child to reap."""
    plan = Plan(**json.loads(argument))
    os.umask(0o077)
    if os.fork():
        os._exit(0)
    keep(plan)


if __name__ == "__main__":
    main(sys.argv[1])
