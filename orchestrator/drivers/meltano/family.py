"""The processes below one of ours, and what they take together, from /proc; standard library only.

Where another place is given for /proc, process ids are those of the namespace that it was mounted in. Nothing is found
where there is no /proc. source: man 5 proc_pid_status, proc_tid_children
"""

import os
import sys
from collections.abc import Iterator

_THERE = sys.platform == "linux"
PROC = "/proc"
_PRIVATE = (b"RssAnon", b"VmSwap")  # kB; what is read from files can be read again, so it takes nothing
_SHARED = b"RssShmem"


def descendants(root: int, proc: str = PROC) -> list[int]:
    """Every process below root."""
    found, todo = [], [root]
    while todo:
        children = _children(todo.pop(), proc)
        found += children
        todo += children
    return found


def living(root: int) -> list[int]:
    """The same without those that are dead and wait to be taken notice of."""
    return [pid for pid in descendants(root) if _state(pid) not in {"", "Z"}]


def is_below(pid: int, root: int) -> bool | None:
    """Whether root started a process, or started who did.

    None where one on the way lives but is hidden from us: hidepid closes what can't be dumped to all but root.
    source: man 5 proc, hidepid; man 2 ptrace, access mode checking
    """
    while pid > 1 and pid != root:
        parent = next((parent for name, parent in numbers(f"/proc/{pid}/status") if name == b"PPid"), None)
        if parent is None:
            return None if _is_there(pid) else False
        pid = parent
    return pid == root


def usage(root: int, proc: str = PROC) -> tuple[int, int, int]:
    """Of all below root: private memory and what is mapped of shared, in bytes; processes, threads counted."""
    private = shared = tasks = 0
    for pid in descendants(root, proc):
        for name, value in numbers(f"{proc}/{pid}/status"):
            if name == b"Threads":
                tasks += value
            elif name == _SHARED:
                shared += value * 1024
            elif name in _PRIVATE:
                private += value * 1024
    return private, shared, tasks


def numbers(path: str) -> Iterator[tuple[bytes, int]]:
    """The lines of a file in /proc that say a name and a number; none where it is gone.

    A line ends at a line feed alone: of all that breaks lines, the kernel escapes no more in what a process is called.
    """
    try:
        with open(path, "rb") as file:
            lines = file.read().split(b"\n")
    except OSError:
        return
    for line in lines:
        name, _, rest = line.partition(b":")
        values = rest.split()
        if values and values[0].isdigit():
            yield name, int(values[0])


def _children(pid: int, proc: str) -> list[int]:
    """Of a process, whichever of its threads started them; of all processes only where the kernel keeps no list."""
    try:
        threads = os.listdir(f"{proc}/{pid}/task") if _THERE else []
    except OSError:
        return []
    found = []
    for thread in threads:
        try:
            with open(f"{proc}/{pid}/task/{thread}/children", "rb") as file:
                found += [int(child) for child in file.read().split()]
        except FileNotFoundError:
            if thread == str(pid):
                return _looked_for(pid, proc)
        except OSError:
            continue
    return found


def _looked_for(parent: int, proc: str) -> list[int]:
    """The same from every process's own word."""
    pids = [int(name) for name in os.listdir(proc) if name.isdigit()]
    return [pid for pid in pids if (b"PPid", parent) in numbers(f"{proc}/{pid}/status")]


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return not isinstance(error, ProcessLookupError)  # it may be another user's
    return True


def _state(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return ""
