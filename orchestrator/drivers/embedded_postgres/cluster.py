"""The data directory of the embedded server: made once, healed when broken off, configured, never lost.

As root, everything the server touches is given to it relative to its working directory
(`-D /proc/self/cwd`, socket folder `../run`), which is entered before root is given up. So it works below
folders that the unprivileged user cannot enter, such as /root, without widening any permission.
Root never writes into the server's folder after it was made: whoever broke into the database could have
put a symlink there.
"""

import os
import re
import secrets
import shutil
import stat
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from orchestrator.drivers.embedded_postgres.binaries import Account, Drop, Programs
from orchestrator.drivers.embedded_postgres.keeper import Files
from orchestrator.kernel.errors import ActionNeededError, NotAllowedError, OrchestratorError, TemporaryError

# What a person may change in data/postgresql.conf or with ALTER SYSTEM. One server with one analyst, a few
# workers and bulk loads: little memory, room for WAL, no replicas (which lets COPY into new tables skip WAL).
TUNABLE = """
# --- written by orchestrator when the cluster was made; yours to change ---
shared_buffers = 128MB
work_mem = 8MB
maintenance_work_mem = 64MB
effective_cache_size = 1GB
random_page_cost = 1.1
jit = off
max_connections = 100
max_wal_size = 2GB
checkpoint_timeout = 15min
wal_level = minimal
max_wal_senders = 0
timezone = 'UTC'
log_timezone = 'UTC'
"""

# What holds whatever the files say: a private socket only, and no statement, bind value or row in the log
# (client errors quote values; DETAIL of a crashed backend quotes its query).
FIXED = {
    "listen_addresses": "",
    "unix_socket_directories": "../run",
    "unix_socket_permissions": "0777",  # its folder is private; see `folders`
    "authentication_timeout": "10s",  # whoever connects and says nothing takes one of max_connections for so long
    "logging_collector": "off",  # the keeper caps the log
    "log_destination": "stderr",
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_min_duration_sample": "-1",
    "log_transaction_sample_rate": "0",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_lock_waits": "off",
    "log_connections": "off",
    "log_disconnections": "off",
    "debug_print_parse": "off",
    "debug_print_rewritten": "off",
    "debug_print_plan": "off",
}


def major_of(data: Path) -> int | None:
    """The major version of an existing cluster; None when there is none yet.

    Errors: ActionNeededError when the folder holds something that is no cluster
    """
    if not data.exists():
        return None
    try:
        return int((data / "PG_VERSION").read_text())
    except (FileNotFoundError, ValueError):
        raise ActionNeededError(
            f"{data} is not a Postgres data folder.",
            hint="Move it away (a new one is made) or put the right one in its place; nothing was changed.",
        ) from None


def folders(files: Files, account: Account | None) -> None:
    """Make our folders, and close those of ours that stand open to others.

    As root, the server's folder can be passed (not listed) by our own group: root inside a user namespace
    has no other way to the socket.
    """
    files.root.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    files.root.mkdir(mode=0o700, exist_ok=True)
    _narrow(files.root, os.geteuid(), 0o700)
    uid, gid = (account.uid, os.getegid()) if account else (os.geteuid(), -1)
    for folder, mode in ((files.server, 0o710), (files.sockets, 0o750)):
        if not folder.exists():
            folder.mkdir(mode=0o700)
            os.chown(folder, uid, gid)
        _narrow(folder, uid, mode if account else 0o700)
    if files.data.exists():
        _narrow(files.data, uid, 0o700)


def _narrow(folder: Path, uid: int, mode: int) -> None:
    """Set the mode of a folder of ours, through a descriptor: never through somebody's symlink."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        state = os.fstat(descriptor)
        if state.st_uid != uid:
            raise NotAllowedError(
                f"{folder} belongs to user {state.st_uid}, not to {uid} as it should.",
                hint="Run orchestrator as the user who made it, or set ORCHESTRATOR_HOME to another folder.",
            )
        if stat.S_IMODE(state.st_mode) != mode:
            os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def password(files: Files) -> str:
    """The password of our role, made at the first call. Errors: OSError when another user owns the file."""
    with suppress(FileNotFoundError):
        files.password.chmod(0o600)
        if kept := files.password.read_text().strip():
            return kept
    if files.data.exists():
        raise ActionNeededError(
            f"The password of the embedded database, {files.password}, is missing.",
            hint="Put the file back from a backup; the data itself is intact.",
        )
    made = secrets.token_urlsafe(32)
    keep_secret(files.password, made)
    return made


def keep_secret(path: Path, text: str) -> None:
    """Write the file for the folder's owner alone (root may act on a user's server): wholly or not at all."""
    aside, owner = path.with_suffix(".tmp"), path.parent.stat()
    aside.unlink(missing_ok=True)
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        if owner.st_uid != os.geteuid():
            os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    aside.rename(path)


def create(files: Files, programs: Programs, account: Account | None, role: str, lock: int) -> None:
    """Make the cluster aside and rename it into place; what a killed attempt left is cleared first.

    lock:  descriptor of the held `server.lock`: inherited, so that an initdb that outlived its killed
           caller still counts as alive and nobody clears the folder under it
    """
    aside, first = files.server / "data.tmp", files.server / "first-password"
    shutil.rmtree(aside, ignore_errors=True)
    first.unlink(missing_ok=True)
    files.ready.unlink(missing_ok=True)
    aside.mkdir(mode=0o700)
    try:
        with os.fdopen(os.open(first, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(password(files))
        if account:
            os.chown(aside, account.uid, account.gid, follow_symlinks=False)
            os.chown(first, account.uid, account.gid, follow_symlinks=False)
        _run([programs.folder / "initdb", *_initdb_options(aside, programs, account, role)], aside, account, lock)
        _run(["/bin/sh", "-c", "cat >>postgresql.conf"], aside, account, lock, text=TUNABLE)
    finally:
        first.unlink(missing_ok=True)
    aside.rename(files.data)


def _initdb_options(folder: Path, programs: Programs, account: Account | None, role: str) -> list[str]:
    if programs.major >= 17:  # noqa: PLR2004 - the first with its own C.UTF-8, which no C library can change
        locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    else:
        locale = ["--locale=C.UTF-8" if Path("/usr/lib/locale/C.utf8").exists() else "--locale=C"]
    return [
        *("-D", location(folder, account), "-U", role, "--pwfile=../first-password"),
        *("--auth-local=scram-sha-256", "--auth-host=reject", "--data-checksums", "--encoding=UTF8"),
        *locale,
    ]


def location(data: Path, account: Account | None) -> str:
    """How the server is told its data directory, whose processes start there."""
    return "/proc/self/cwd" if account else str(data)


def command(files: Files, programs: Programs, account: Account | None, port: int) -> tuple[str, ...]:
    """The argv of the server. Nothing in it is secret."""
    fixed = [part for name, value in FIXED.items() for part in ("-c", f"{name}={value}")]
    return (str(programs.folder / "postgres"), "-D", location(files.data, account), "-p", str(port), *fixed)


def _run(argv: list[str | Path], folder: Path, account: Account | None, lock: int, *, text: str | None = None) -> None:
    drop = account.drop() if account else Drop()
    done = subprocess.run(
        argv, cwd=folder, input=text, stdin=None if text is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, umask=0o077,
        env={"LC_ALL": "C", "PATH": os.defpath}, start_new_session=True, pass_fds=(lock,), **drop,
    )  # fmt: skip
    if done.returncode:
        raise failure("Making the embedded database failed", done.stdout)


def failure(what: str, said: str) -> OrchestratorError:
    """The error for what initdb or the server said before it gave up; its last telling line is quoted."""
    known: tuple[tuple[str, type[OrchestratorError], str], ...] = (
        ("No space left on device", TemporaryError, "Free some disk space, then try again."),
        ("Disk quota exceeded", TemporaryError, "Free some disk space, then try again."),
        ("Cannot allocate memory", TemporaryError, "Free some memory, or lower shared_buffers, then try again."),
        ("could not look up effective user", ActionNeededError,
         "Postgres needs the user to be in /etc/passwd: add it, run as another user, or set DATABASE_URL."),
        ("Permission denied", NotAllowedError,
         "Let the user who runs Postgres own its folder below ORCHESTRATOR_HOME."),
        ("Read-only file system", NotAllowedError, "Set ORCHESTRATOR_HOME to a folder that can be written."),
    )  # fmt: skip
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if any(mark in line for mark in ("FATAL:", "PANIC:", "error:"))]
    last = re.sub(r"^.*?((FATAL|PANIC|error):)", r"\1", ([*lines, *telling] or ["it said nothing"])[-1])
    for sign, error, hint in known:
        if sign in said:
            return error(f"{what}: {last}", hint=hint)
    return TemporaryError(f"{what}: {last}", hint="Run `orchestrator doctor`; the log has the rest.")


def clear_remains(files: Files) -> None:
    """Remove what a killed postmaster left behind.

    Only with `server.lock` held: then no process of it is left, whatever the pid in the file has become
    (for Postgres itself a zombie, or a stranger with that pid, would count as alive).
    """
    for path in (files.data / "postmaster.pid", *files.sockets.glob(".s.PGSQL.*")):
        path.unlink(missing_ok=True)


def end_orphans(files: Files) -> None:
    """Kill the processes that a dead postmaster, or a dead caller's initdb, left working in our folder."""
    import psutil

    ours = (files.server, files.data, files.server / "data.tmp")
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.name() in {"postgres", "initdb"} and Path(process.cwd()) in ours:
                process.kill()
    time.sleep(0.02)
