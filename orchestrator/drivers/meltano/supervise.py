"""Stand between the orchestrator and one Meltano process, so that neither outlives the run.

Started as a script by the Python that runs the orchestrator; standard library and our neighbours only.

    supervise.py DIRECTORIES LOCK_FD INPUT_FD ISOLATION UNTIL MEMORY PROCESSES COMMAND…

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
The exit status is the command's; 128 + n where signal n ended it. 112 says that all below us together took more than
MEMORY bytes and were ended for it, 113 that they were more than PROCESSES, with their threads; a command that ends
with one of these by itself is said to end with 1.

Memory is watched, not limited by the kernel: RLIMIT_AS and RLIMIT_DATA count what is reserved, of which DuckDB, Arrow,
Go and Java take much and use little, they count each process alone, and whoever hits one says no more than that an
allocation failed; a cgroup needs a privilege or a delegation that most machines don't give us. Looking often enough for
what a machine can fill in between costs less. The number of processes is limited by the kernel too where we have a user
namespace, which counts its own alone.

The memory and the open files of supervisor and init cannot be read by the command; as root it keeps the capabilities
for files alone, so that it can neither read them all the same, nor leave its namespaces, nor become another user. It
doesn't see sockets of services that start programs for whoever asks. Nobody here leaves a core dump.

source: man 2 unshare, 7 pid_namespaces, 7 user_namespaces, 2 prctl, 7 capabilities, 5 core, 2 getrlimit
"""

import os
import resource
import selectors
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial

sys.path.append(__file__.rsplit(os.sep, 4)[0])

from orchestrator.drivers.meltano import family
from orchestrator.drivers.meltano.removal import remove

TYPE_CHECKING = False  # typing, shutil and secrets are half of what starting takes
if TYPE_CHECKING:
    import ctypes

_CLONE_NEWNS, _CLONE_NEWUSER, _CLONE_NEWPID = 0x00020000, 0x10000000, 0x20000000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_BIND, _MS_REC, _MS_PRIVATE = 2, 4, 8, 0x1000, 0x4000, 1 << 18
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_CHILD_SUBREAPER = 1, 4, 24, 36
_KEPT = {"CHOWN": 0, "DAC_OVERRIDE": 1, "DAC_READ_SEARCH": 2, "FOWNER": 3, "FSETID": 4}  # capabilities
_CAPABILITIES = 64  # the kernel keeps them in so many bits
_HIDDEN = (  # where programs are started by asking for it: their own users are whom we keep apart
    "/run/user", "/run/dbus", "/run/systemd/private", "/run/docker.sock", "/run/containerd", "/run/podman", "/run/crio",
    "/run/libvirt", "/run/lxd", "/run/snapd.socket", "/var/lib/lxd", "/var/snap/lxd/common/lxd/unix.socket",
)  # fmt: skip
_OVER = {b"m": 112, b"p": 113}  # by what was too much; process.py knows the numbers
_FASTEST = 4 * 1024**3  # bytes that are filled within a second at most
_SOONEST, _LATEST = 0.1, 1.0  # seconds between looks at what is taken
_LINUX = sys.platform == "linux"
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the lifeline decides, not a terminal
_SWEEPS = 100
_LAST_WORDS = 0.5  # seconds


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


def _own_view(directories: Sequence[str]) -> None:
    """Show the processes of the namespace only, and hide services; where mounting is not allowed the old view stays."""
    if not _unshare(_CLONE_NEWNS):
        return
    plain = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    _libc().mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)
    _libc().mount(b"proc", b"/proc", b"proc", plain, None)
    for path in _HIDDEN:
        if any(directory.startswith(f"{path}/") for directory in directories):
            continue
        if os.path.isdir(path):  # noqa: PTH112 - keeps pathlib unloaded
            _libc().mount(b"none", path.encode(), b"tmpfs", plain, b"size=4k,mode=0")
        elif os.path.exists(path):  # noqa: PTH110
            _libc().mount(os.devnull.encode(), path.encode(), None, _MS_BIND, None)


def _no_more_than(wanted: int) -> tuple[int, int]:
    _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    least = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    return least, least


def _status(wait_status: int) -> int:
    code = os.waitstatus_to_exitcode(wait_status)
    return code if code >= 0 else 128 - code


def _exec(command: list[str]) -> None:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    for capability in set(range(_CAPABILITIES)).difference(_KEPT.values()):
        _prctl(_PR_CAPBSET_DROP, capability)
    for number in (*_IGNORED, signal.SIGPIPE):  # what is ignored would stay ignored in the command
        signal.signal(number, signal.SIG_DFL)
    os.umask(0o077)
    try:
        os.execv(command[0], command)  # noqa: S606 - no shell is wanted
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
        os._exit(127)


def _settle(isolation: str, processes: int, directories: Sequence[str]) -> None:
    """What init does first, for itself and for all it will start."""
    if isolation != "namespace":
        os.setpgid(0, 0)
        return
    _own_view(directories)
    if os.geteuid() != 0:  # whom the kernel never stops
        resource.setrlimit(resource.RLIMIT_NPROC, _no_more_than(processes))


def _init(settle: Callable[[], None], ready: int, lock: int, given: int, command: list[str]) -> None:
    """Be the parent of everything: start the command, pass SIGTERM on, take in orphans, end as it ended."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if not os.read(ready, 1):  # the supervisor died before it could be watched
        os._exit(137)
    os.close(lock)
    os.dup2(given, 0)
    os.close(given)
    settle()
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
            _linger()
            code = _status(status)
            os._exit(1 if code in _OVER.values() else code)


def _linger() -> None:
    """Let our last children end by themselves for a moment: relays still pass on what was said last."""
    until = time.monotonic() + _LAST_WORDS
    while time.monotonic() < until:
        try:
            if not os.waitpid(-1, os.WNOHANG)[0]:
                time.sleep(0.005)
        except ChildProcessError:
            return


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _sweep() -> None:
    """End what is still below us; twice as long as anything new appears between looking and killing."""
    for _ in range(_SWEEPS):
        living = family.living(os.getpid())
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
        for pid in family.descendants(init):
            _kill(pid)
        try:
            os.killpg(init, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            _kill(init)
    _kill(init)
    return _status(os.waitpid(init, 0)[1])


class _Usage:
    """Looks from time to time at what all below init take together."""

    def __init__(self, init: int, memory: int, processes: int) -> None:
        self._init, self._memory, self._processes = init, memory, processes
        self._due = time.monotonic() + _LATEST

    @property
    def wait(self) -> float:
        """Seconds until the next look."""
        return max(0.0, self._due - time.monotonic())

    def over(self) -> bytes | None:
        """Of what too much is taken, where it is time to look: `m` memory, `p` processes."""
        if self.wait:
            return None
        memory, processes = family.usage(self._init)
        room = (self._memory - memory) / _FASTEST
        self._due = time.monotonic() + min(_LATEST, max(_SOONEST, room))
        if memory > self._memory:
            return b"m"
        return b"p" if processes > self._processes else None


def _until() -> float:
    """The rest of a line that moves the end of the lease; now, where the orchestrator is gone."""
    said = b""
    while (byte := os.read(0, 1)) not in {b"\n", b""}:
        said += byte
    return float(said) if byte else 0.0


def _words(ended: int, usage: _Usage, until: float) -> Iterator[bytes]:
    """What happens, as it does: `t`, `k` or nothing from the lifeline, and of our own `e` (init ended), `m` and `p`."""
    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ)
        selector.register(ended, selectors.EVENT_READ)
        while True:
            ready = {key.fd for key, _ in selector.select(min(usage.wait, max(until - time.monotonic(), 0)))}
            if ended in ready:
                yield b"e"
            elif over := usage.over():
                yield over
            elif ready:
                word = os.read(0, 1)
                if word == b"u":
                    until = _until()
                else:
                    yield word
            elif time.monotonic() >= until:
                yield b""


def _watch(init: int, isolation: str, words: Iterator[bytes], directories: list[str]) -> int:
    """Do what the words ask for, until one of them ends it."""
    for word in words:
        if word == b"e":
            status = _status(os.waitpid(init, 0)[1])
            _linger()
            return status
        if word == b"t":
            os.kill(init, signal.SIGTERM)
            continue
        status = _end(init, isolation)
        if not word:
            _sweep()
            for directory in directories:
                remove(directory)
        return _OVER.get(word, status)
    raise AssertionError("words go on until one of them ends it")


def main(arguments: list[str]) -> int:
    """Run the command and return its status; see the module's docstring."""
    joined, lock, given, wanted, until, memory, processes, *command = arguments
    directories = joined.split(os.pathsep)
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
            settle = partial(_settle, isolation, int(processes), directories)
            _init(settle, ready, int(lock), int(given), command)
        finally:
            os._exit(70)  # _init only returns by exception; its traceback must not reach the parent's code
    os.close(living)
    os.close(int(given))
    os.write(go, b"g")
    usage = _Usage(init, int(memory), int(processes))
    status = _watch(init, isolation, _words(ended, usage, float(until)), directories)
    _sweep()
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
