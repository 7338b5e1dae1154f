"""Stand between the orchestrator and one Meltano process, so that neither outlives the run.

Started as a script by the Python that runs the orchestrator; standard library and our neighbours only.

    supervise.py DIRECTORIES LOCK_FD INPUT_FD ISOLATION UNTIL MEMORY PROCESSES COMMAND…
    supervise.py ahead

The second imports Meltano, and is then told the rest on its stdin, a socket: four bytes that say how long it is, with
the two files, and the same words as JSON. Of the COMMAND only the words are told, for it is Meltano in a process that
we fork, which has imported it already (begin.py).

DIRECTORIES are joined by ":", the run's own first; without a COMMAND the isolation that is possible here is printed,
and that is all.
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

Memory is watched (usage.py), not limited by the kernel: RLIMIT_AS and RLIMIT_DATA count what is reserved, of which
DuckDB, Arrow, Go and Java take much and use little, they count each process alone, and whoever hits one says no more
than that an allocation failed; RLIMIT_FSIZE counts one file, and files of a database may be large; a cgroup needs a
privilege or a delegation that most machines don't give us. Looking often enough for what a machine can fill in between
costs less. The number of processes is limited by the kernel too where we have a user namespace, which counts its own
alone.

The memory and the open files of supervisor and init cannot be read by the command; as root it keeps the capabilities
for files alone, so that it can neither read them all the same, nor leave its namespaces, nor become another user. It
sees neither other runs' directories, nor sockets of services that start programs for whoever asks, where mounting is
allowed. Nobody here leaves a core dump.

source: man 5 core, 2 getrlimit; namespaces.py
"""

import os
import resource
import selectors
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

sys.path.append(__file__.rsplit(os.sep, 4)[0])

from orchestrator.drivers.meltano import family, namespaces
from orchestrator.drivers.meltano.removal import remove
from orchestrator.drivers.meltano.usage import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket

Start = Callable[[list[str]], None]
_OVER = {b"m": 112, b"p": 113}  # by what was too much; process.py knows the numbers
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the lifeline decides, not a terminal
_SWEEPS = 100
_LAST_WORDS = 0.5  # seconds
_MOST_OPEN = 1024  # numbers of files that we have open are far below; some containers allow a billion


def _no_more_than(wanted: int) -> tuple[int, int]:
    _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    least = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    return least, least


def _status(wait_status: int) -> int:
    code = os.waitstatus_to_exitcode(wait_status)
    return code if code >= 0 else 128 - code


def _execute(command: list[str]) -> None:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and what is ignored would stay ignored
    try:
        os.execv(command[0], command)  # noqa: S606 - no shell is wanted
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
        os._exit(127)


def _ahead() -> Start:
    """Have Meltano ready for a child to become it."""
    import site

    site.main()  # where it is installed; we were started without
    from orchestrator.drivers.meltano import begin

    meltano = begin.load()

    def start(words: list[str]) -> None:
        os.closerange(3, _MOST_OPEN)  # as executing it would
        signal.signal(signal.SIGINT, signal.default_int_handler)
        begin.take_environment()
        begin.become(meltano, words)

    return start


def _told() -> list[str]:
    """The arguments, out of the lifeline; none where the orchestrator has ended instead."""
    import json
    import socket

    with socket.socket(fileno=os.dup(0)) as line:
        size, files, _, _ = socket.recv_fds(line, 4, 2)
        said = line.recv(int.from_bytes(size), socket.MSG_WAITALL)
    if not said:
        return []
    directories, *rest = json.loads(said)
    os.chdir(directories.split(os.pathsep)[0])
    return [directories, *map(str, files), *rest]


def _settle(isolation: str, processes: int, directories: Sequence[str], watcher: "_socket.socket") -> None:
    """What init does first, for itself and for all it will start; the watcher may look at its processes."""
    if isolation != "namespace":
        watcher.close()
        os.setpgid(0, 0)
        return
    if namespaces.own_view(directories):
        namespaces.show_proc(watcher)
    watcher.close()
    if os.geteuid() != 0:  # whom the kernel never stops
        resource.setrlimit(resource.RLIMIT_NPROC, _no_more_than(processes))


def _init(settle: Callable[[], None], ready: int, lock: int, given: int, start: Callable[[], None]) -> None:
    """Be the parent of everything: start the command, pass SIGTERM on, take in orphans, end as it ended."""
    namespaces.end_with_parent()
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
        namespaces.end_with_parent()
        namespaces.keep_few_capabilities()
        for number in _IGNORED:  # what is ignored would stay ignored
            signal.signal(number, signal.SIG_DFL)
        os.umask(0o077)
        start()
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


def _until() -> float:
    """The rest of a line that moves the end of the lease; now, where the orchestrator is gone."""
    said = b""
    while (byte := os.read(0, 1)) not in {b"\n", b""}:
        said += byte
    return float(said) if byte else 0.0


def _words(ended: int, usage: Usage, until: float) -> Iterator[bytes]:
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
    start: Start = _execute
    if arguments == ["ahead"]:
        start = _ahead()
        arguments = _told()
        if not arguments:
            return 0
    joined, lock, given, wanted, until, memory, processes, *command = arguments
    directories = joined.split(os.pathsep)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.set_inheritable(int(lock), False)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    isolation = namespaces.isolate(wanted)
    if not command:
        os.write(1, isolation.encode())
        return 0
    own_ipc = isolation == "namespace" and namespaces.own_ipc()
    namespaces.close_to_others()  # not earlier: the user namespace is mapped through our files in /proc
    ready, go = os.pipe()
    ended, living = os.pipe()
    watching, watched = namespaces.pair()
    init = os.fork()
    if init == 0:
        os.close(go)
        os.close(ended)
        watching.close()
        try:
            settle = partial(_settle, isolation, int(processes), directories, watched)
            _init(settle, ready, int(lock), int(given), partial(start, command))
        except SystemExit:  # of Meltano, which ends as every Python program does
            raise
        except BaseException:  # noqa: BLE001 - nothing may go on in the parent's code
            sys.excepthook(*sys.exc_info())
            os._exit(70)
    os.close(living)
    os.close(int(given))
    watched.close()
    os.write(go, b"g")
    proc = namespaces.shown_proc(watching) if isolation == "namespace" else None
    usage = Usage(
        *((init, family.PROC) if proc is None else (1, proc)),
        directories[0], int(memory), int(processes), own_ipc=own_ipc,
    )  # fmt: skip
    status = _watch(init, isolation, _words(ended, usage, float(until)), directories)
    _sweep()
    return status


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))  # all that is left is taking Meltano's modules apart
