"""Stand between the orchestrator and one Meltano process, so that neither outlives the run.

Started as a script by the Python that runs the orchestrator; standard library only, imports nothing of ours.

    supervise.py DIRECTORIES LOCK_FD INPUT_FD ISOLATION UNTIL COMMAND…

DIRECTORIES are joined by ":"; without a COMMAND the isolation that is possible here is printed, and that is all.
INPUT_FD is what the command reads on its stdin: secrets go this way, because whatever a process is started with stays
readable in /proc for all of its user. Neither we nor init read it, and neither has an environment.
stdin is the lifeline: `t` asks the command to end (SIGTERM), `k` ends it, and end-of-file means that the
orchestrator is gone, for whatever reason: everything is killed, and the directories, which hold secrets in clear,
are removed. LOCK_FD keeps their lock for as long as we live, which tells the reaper to leave them alone.
UNTIL is when the orchestrator's hold on the run ends, by the clock of time.monotonic(), which is one for all processes
of a machine; `inf` where it holds no lease. `u12.5` and a newline on the lifeline move it. Past it, the orchestrator
counts as gone too: one that was stopped or hangs can tell nobody, while another worker takes its run over.

The command runs under an init process of its own:
  namespace  init is number 1 of a new PID namespace, so the kernel ends every descendant with it, daemonised or not;
             as root directly, otherwise through a user namespace that maps only the own user
  subreaper  where namespaces are not allowed: orphans become our children, and we end them
  group      where neither exists (not Linux): the command's process group
The exit status is the command's; 128 + n where signal n ended it.

The memory and the open files of supervisor and init cannot be read by the command; as root it loses the capabilities
that would let it read them all the same, or leave its namespaces. Nobody here leaves a core dump.

source: man 2 unshare, 7 pid_namespaces, 7 user_namespaces, 2 prctl, 7 capabilities, 5 core
"""

import os
import resource
import selectors
import signal
import sys
import time
from collections.abc import Callable
from functools import cache

TYPE_CHECKING = False  # typing, shutil and secrets are half of what starting takes
if TYPE_CHECKING:
    import ctypes

_CLONE_NEWNS, _CLONE_NEWUSER, _CLONE_NEWPID = 0x00020000, 0x10000000, 0x20000000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REC, _MS_PRIVATE = 2, 4, 8, 0x4000, 1 << 18
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_CHILD_SUBREAPER = 1, 4, 24, 36
_DROPPED = {  # what is between root and other processes, the kernel and the machine
    "LINUX_IMMUTABLE": 9, "SYS_MODULE": 16, "SYS_RAWIO": 17, "SYS_PTRACE": 19, "SYS_ADMIN": 21, "SYS_BOOT": 22,
    "MKNOD": 27, "PERFMON": 38, "BPF": 39, "CHECKPOINT_RESTORE": 40,
}  # fmt: skip
_LINUX = sys.platform == "linux"
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the lifeline decides, not a terminal
_SWEEPS = 100
_FOR_EVER = float("inf")


@cache
def _libc() -> "ctypes.CDLL":
    import ctypes  # only where we run: our clean-up is imported too

    return ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> bool:
    return _LINUX and _libc().prctl(option, value, 0, 0, 0) == 0


def _unshare(flags: int) -> bool:
    return _LINUX and _libc().unshare(flags) == 0


def _map_own_user(uid: int, gid: int) -> None:
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:  # noqa: PTH123 - keeps pathlib unloaded
            file.write(text)


def _enter_as_user() -> bool:
    uid, gid = os.geteuid(), os.getegid()
    if not _unshare(_CLONE_NEWUSER | _CLONE_NEWPID):
        return False
    _map_own_user(uid, gid)
    return True


def _tried(step: Callable[[], bool]) -> bool:
    """Whether a step works, found out by a child: half a user namespace cannot be left again."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if step() else 1)
        except OSError:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def _isolate(wanted: str) -> str:
    """Enter the strongest isolation that is both wanted and allowed here; the name of what it became."""
    if wanted == "namespace" and (_unshare(_CLONE_NEWPID) or (_tried(_enter_as_user) and _enter_as_user())):
        return "namespace"
    return "subreaper" if _prctl(_PR_SET_CHILD_SUBREAPER, 1) else "group"


def _own_proc() -> None:
    """Show the processes of the namespace only; where mounting is not allowed the old /proc stays."""
    if _unshare(_CLONE_NEWNS):
        _libc().mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)
        _libc().mount(b"proc", b"/proc", b"proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, None)


def _status(wait_status: int) -> int:
    code = os.waitstatus_to_exitcode(wait_status)
    return code if code >= 0 else 128 - code


def _exec(command: list[str]) -> None:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    for capability in _DROPPED.values():
        _prctl(_PR_CAPBSET_DROP, capability)
    for number in (*_IGNORED, signal.SIGPIPE):  # what is ignored would stay ignored in the command
        signal.signal(number, signal.SIG_DFL)
    os.umask(0o077)
    try:
        os.execv(command[0], command)  # noqa: S606 - no shell is wanted
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
        os._exit(127)


def _init(isolation: str, ready: int, lock: int, given: int, command: list[str]) -> None:
    """Be the parent of everything: start the command, pass SIGTERM on, take in orphans, end as it ended."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if not os.read(ready, 1):  # the supervisor died before it could be watched
        os._exit(137)
    os.close(lock)
    os.dup2(given, 0)
    os.close(given)
    if isolation == "namespace":
        _own_proc()
    else:
        os.setpgid(0, 0)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    main = os.fork()
    if main == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        _exec(command)
    os.close(0)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(main, signal.SIGTERM))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    while True:
        pid, status = os.wait()
        if pid == main:
            os._exit(_status(status))


def _descendants(root: int) -> list[int]:
    """Every living process below root, from /proc; empty where there is none."""
    parents: dict[int, list[int]] = {}
    for name in os.listdir("/proc") if _LINUX else ():  # noqa: PTH208
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                state, parent = file.read().rpartition(b")")[2].split()[:2]
        except OSError:
            continue
        if state != b"Z":
            parents.setdefault(int(parent), []).append(int(name))
    found, todo = [], [root]
    while todo:
        children = parents.get(todo.pop(), [])
        found += children
        todo += children
    return found


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _sweep() -> None:
    """End what is still below us; twice as long as anything new appears between looking and killing."""
    for _ in range(_SWEEPS):
        living = _descendants(os.getpid())
        if not living:
            return
        for pid in living:
            _kill(pid)
        _reap()


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def _end(init: int, isolation: str) -> int:
    """Kill everything at once; the status init ended with."""
    if isolation != "namespace":
        for pid in _descendants(init):
            _kill(pid)
        try:
            os.killpg(init, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            _kill(init)
    _kill(init)
    return _status(os.waitpid(init, 0)[1])


def remove(path: str) -> None:
    """Remove the whole tree, whatever modes and depth plugins gave it; what is gone already is fine."""
    if os.path.islink(path):  # noqa: PTH114 - as below
        _done(os.unlink, path)
        return
    import shutil

    try:
        shutil.rmtree(path)
    except (OSError, RecursionError):
        _flatten(path)


def _flatten(top: str) -> None:
    """Remove level by level: what is in a directory moves up, so that none is too deep, and all are writable first.

    Goes on where something does not go away, until nothing does.
    """
    goes_on = True
    while goes_on:
        goes_on = False
        for name in _names(top):
            goes_on |= _gone(top, f"{top}/{name}")
    if os.path.lexists(top):
        _done(os.rmdir, top)


def _gone(top: str, path: str) -> bool:
    if os.path.islink(path) or not os.path.isdir(path):  # noqa: PTH112, PTH114 - keeps pathlib unloaded
        return _done(os.unlink, path)
    for name in _names(path):
        inner = f"{path}/{name}"
        if os.path.isdir(inner) and not os.path.islink(inner):  # noqa: PTH112, PTH114
            _done(os.chmod, inner, 0o700)  # a directory that moves is written to
        _done(os.rename, inner, f"{top}/{os.urandom(16).hex()}")
    return _done(os.rmdir, path)


def _names(directory: str) -> list[str]:
    _done(os.chmod, directory, 0o700)
    try:
        return os.listdir(directory)  # noqa: PTH208
    except OSError:
        return []


def _done(step: Callable[..., object], *arguments: object) -> bool:
    try:
        step(*arguments)
    except OSError:
        return False
    return True


def _until() -> float:
    """The rest of a line that moves the end of the lease; now, where the orchestrator is gone."""
    said = b""
    while (byte := os.read(0, 1)) not in {b"\n", b""}:
        said += byte
    return float(said) if byte else 0.0


def _watch(init: int, ended: int, isolation: str, directories: list[str], until: float) -> int:
    """Wait for the end of init, a word from the lifeline, or the end of the lease, whichever comes first."""
    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ)
        selector.register(ended, selectors.EVENT_READ)
        while True:
            left = None if until == _FOR_EVER else max(until - time.monotonic(), 0)
            ready = {key.fd for key, _ in selector.select(left)}
            if ended in ready:
                return _status(os.waitpid(init, 0)[1])
            word = os.read(0, 1) if ready else b""
            if word == b"u":
                until = _until()
                continue
            if word == b"t":
                os.kill(init, signal.SIGTERM)
                continue
            status = _end(init, isolation)
            if not word:
                _sweep()
                for directory in directories:
                    remove(directory)
            return status


def main(arguments: list[str]) -> int:
    """Run the command and return its status; see the module's docstring."""
    directories, lock, given, wanted, until, *command = arguments
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.set_inheritable(int(lock), False)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    isolation = _isolate(wanted)
    if not command:
        os.write(1, isolation.encode())
        return 0
    _prctl(_PR_SET_DUMPABLE, 0)  # not earlier: the user namespace is mapped through our files in /proc
    ready, go = os.pipe()
    ended, living = os.pipe()
    init = os.fork()
    if init == 0:
        os.close(go)
        os.close(ended)
        try:
            _init(isolation, ready, int(lock), int(given), command)
        finally:
            os._exit(70)  # _init only returns by exception; its traceback must not reach the parent's code
    os.close(living)
    os.close(int(given))
    os.write(go, b"g")
    status = _watch(init, ended, isolation, directories.split(os.pathsep), float(until))
    _sweep()
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
