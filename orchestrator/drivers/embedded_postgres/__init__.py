"""A real Postgres without installing one: shared by all our processes, gone when nobody uses it.

A short story of its life. The first process to call `start` makes the cluster and sends a keeper
(`keeper.py`), which runs the server; others join. Each process holds a lease: a shared `flock` that the
kernel frees however the process ends. When the last lease has been gone for `linger`, the keeper stops the
server and ends too. So commands in a row find it warm (a few ms), and nothing stays up for ever; a reboot,
a kill -9 of anybody or a broken-off initdb is healed by the next `start`.

There is no TCP port: one unix socket in a folder that only we can enter, with a scram password. The warehouse
has a login of its own, which reaches nothing else (`databases.py`).
Needs flock and unix sockets: Linux and macOS.
"""

import errno
import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from pydantic import SecretStr

from orchestrator.drivers.embedded_postgres import binaries, cluster, databases, keeper
from orchestrator.drivers.embedded_postgres.address import (
    PORT,
    ServerAddress,
    ServerStatus,
    holders,
    size_of,
    socket_folder,
)
from orchestrator.drivers.embedded_postgres.keeper import Files, Plan, hold, is_free, ping
from orchestrator.kernel.errors import ActionNeededError, NotAllowedError, OrchestratorError, TemporaryError

ROLE = "orchestrator"
LINGER = timedelta(minutes=10)
PATIENCE = timedelta(seconds=60)
ORPHAN_SECONDS = 3.0  # backends notice a dead postmaster by themselves, unless busy

__all__ = ["EmbeddedPostgres", "ServerAddress", "ServerStatus"]


class EmbeddedPostgres:
    """Our process's hold on the embedded server of one ORCHESTRATOR_HOME.

    databases:  made when missing; `warehouse` belongs to a login of its own
    user:       as root: the existing unprivileged user to run as (default: postgres, then nobody)
    binaries:   a bin folder to use instead of the wheel's
    linger:     how long the server stays up after the last user; the process that starts it decides
    patience:   how long `start` waits, for example for crash recovery
    """

    def __init__(
        self, home: Path, *, databases: tuple[str, ...] = ("orchestrator", "warehouse"),
        user: str | None = None, binaries: Path | None = None,
        linger: timedelta = LINGER, patience: timedelta = PATIENCE,
    ) -> None:  # fmt: skip
        self._files = Files(home.absolute() / "postgres")
        self._databases = databases
        self._user = user
        self._binaries = binaries
        self._linger = linger.total_seconds()
        self._patience = patience.total_seconds()
        self._lease: int | None = None
        self._guard = threading.Lock()

    def start(self) -> ServerAddress:
        """Take a lease and answer once the server takes connections; again and again if you like.

        Warm: a lock, one message on the socket and three small files, no process and no driver.
        Errors: TemporaryError, NotAllowedError, ActionNeededError, InvalidConfigError, each with a hint
        """
        deadline = time.monotonic() + self._patience
        with self._guard, _plain_errors(self._files.root):
            try:
                if not self._files.lease.exists():
                    cluster.folders(self._files, binaries.account_for(self._files.server, self._user))
                self._take_lease(deadline)
                if not (self._is_ready() and self._is_prepared() and not is_free(self._files.keeper)):
                    with self._mutex(deadline):
                        self._bring_up(deadline)
                        if not self._is_prepared():
                            databases.prepare(self._files, self._address(), self._databases)
                return replace(self._address(), logins=databases.logins(self._files, self._databases))
            except BaseException:
                self._release()
                raise

    def close(self) -> None:
        """Give the lease back. The server stops when nobody has had one for `linger`."""
        with self._guard:
            self._release()

    def stop_if_unused(self) -> bool:
        """Stop the server now unless somebody (this object included) has a lease; whether it is stopped."""
        files = self._files
        if not files.lease.exists():
            return True
        with _plain_errors(files.root), self._mutex(time.monotonic() + self._patience):
            pid = keeper.listener_pid(self._socket_path())
            if pid is None:
                return is_free(files.running)
            lease = hold(files.lease, fcntl.LOCK_EX)
            if lease is None:
                return False
            try:
                return keeper.stop(pid, files)
            finally:
                os.close(lease)

    def status(self) -> ServerStatus:
        """What there is, without starting or making anything."""
        files = self._files
        exists, version = files.data.exists(), None
        with suppress(ActionNeededError):
            version = cluster.major_of(files.data)
        pid = keeper.listener_pid(self._socket_path()) if exists else None
        return ServerStatus(
            running=pid is not None,
            version=version,
            data=files.data,
            log=files.log,
            pid=pid,
            size_bytes=size_of(files.data),
            users=holders(files.lease),
        )

    def _take_lease(self, deadline: float) -> None:
        """Newcomers wait here while the keeper stops the server, which takes well under a second."""
        while self._lease is None:
            self._lease = hold(self._files.lease, fcntl.LOCK_SH)
            if self._lease is None:
                _nap(deadline, "it is just being stopped")
        os.utime(self._lease)

    def _release(self) -> None:
        if self._lease is not None:
            os.utime(self._lease)
            os.close(self._lease)
            self._lease = None

    @contextmanager
    def _mutex(self, deadline: float) -> Iterator[None]:
        while (held := hold(self._files.mutex, fcntl.LOCK_EX)) is None:
            _nap(deadline, "another process is starting or stopping it")
        try:
            yield
        finally:
            os.close(held)

    def _bring_up(self, deadline: float) -> None:
        """With the mutex held: get the server to take connections, whatever state it was left in."""
        files, orphans_until = self._files, time.monotonic() + ORPHAN_SECONDS
        said_before: int | None = None  # size of the log when we sent a keeper
        while True:
            state = ping(self._socket_path(), ROLE)
            watched = hold(files.keeper, fcntl.LOCK_EX)
            if watched is None:
                if state == "ready":
                    return
                _nap(deadline, "it is starting or stopping", files.log)
                continue
            try:
                if said_before is not None and state == "away":
                    raise self._gave_up(said_before)
                said_before = self._send_keeper(watched, adopt=state != "away")
            finally:
                os.close(watched)
            if said_before is None:
                if time.monotonic() > orphans_until:
                    cluster.end_orphans(files)
                _nap(deadline, "processes of a killed server are still ending", files.log)

    def _send_keeper(self, held: int, *, adopt: bool) -> int | None:
        """Start a keeper, with the server or for one that runs; the size of the log before.

        None when processes of a dead server are still alive and nothing could be done.
        """
        files = self._files
        account = binaries.account_for(files.server, self._user)
        if adopt:
            pid = keeper.listener_pid(self._socket_path())
            if pid is None:
                return None
            plan = Plan(str(files.root), (), None, -1, pid, self._linger)
            return self._spawn(plan, (held,))
        lock = hold(files.running, fcntl.LOCK_EX)
        if lock is None:
            return None
        try:
            cluster.folders(files, account)
            major = cluster.major_of(files.data)
            programs = binaries.find(self._binaries, account, major)
            if major is None:
                cluster.create(files, programs, account, ROLE, lock)
            cluster.clear_remains(files)
            files.ready.unlink(missing_ok=True)  # somebody may have dropped one: look again at each start
            argv = cluster.command(files, programs, account, PORT)
            who = (account.uid, account.gid) if account else None
            return self._spawn(Plan(str(files.root), argv, who, lock, 0, self._linger), (held, lock))
        finally:
            os.close(lock)

    def _spawn(self, plan: Plan, inherited: tuple[int, ...]) -> int:
        log = os.open(self._files.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            before = os.fstat(log).st_size
            subprocess.run(
                [sys.executable, "-I", "-S", keeper.__file__, json.dumps(plan._asdict())],
                cwd="/", env={}, check=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, pass_fds=inherited,
            )  # fmt: skip
        finally:
            os.close(log)
        return before

    def _gave_up(self, said_before: int) -> OrchestratorError:
        with self._files.log.open("rb") as log:
            log.seek(said_before)
            said = log.read(100_000).decode(errors="replace")
        return cluster.failure("The embedded database did not start", said)

    def _is_ready(self) -> bool:
        return self._files.sockets.exists() and ping(self._socket_path(), ROLE) == "ready"

    def _is_prepared(self) -> bool:
        return databases.prepared(self._files, self._databases)

    def _address(self) -> ServerAddress:
        return ServerAddress(
            host=socket_folder(self._files.sockets),
            port=PORT,
            user=ROLE,
            password=SecretStr(cluster.password(self._files)),
        )

    def _socket_path(self) -> str:
        return f"{socket_folder(self._files.sockets)}/.s.PGSQL.{PORT}"


def _nap(deadline: float, why: str, log: Path | None = None) -> None:
    if time.monotonic() > deadline:
        raise TemporaryError(
            f"The embedded database is not ready yet: {why}.",
            hint="Try again in a moment" + (f"; its log is {log}." if log else "."),
        )
    time.sleep(0.01)


@contextmanager
def _plain_errors(root: Path) -> Iterator[None]:
    """Turn the system's refusals into sentences with a hint."""
    try:
        yield
    except OSError as error:
        what = f"The embedded database in {root} cannot be used: {error.strerror}"
        what += f" ({error.filename})." if error.filename else "."
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            hint = "Run orchestrator as the user who owns that folder, or set ORCHESTRATOR_HOME to another."
            raise NotAllowedError(what, hint=hint) from error
        hint = "Free some disk space, then try again." if error.errno in {errno.ENOSPC, errno.EDQUOT} else ""
        raise TemporaryError(what, hint=hint or "Run `orchestrator doctor`, then try again.") from error
