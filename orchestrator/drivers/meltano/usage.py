"""What a run takes of the machine, looked at from outside of its processes; standard library only.

Memory is more than what processes have mapped: files of a run's directory lie in memory where that is a tmpfs, and so
do files without a name, shared memory that nobody has touched for a while, and that of System V. All of that is seldom
more than nothing, and looking for it takes longer than asking the kernel how much of it there is on the whole machine:
so it is looked for where that could be too much. What can't be seen are open files under way in a socket, and what the
kernel keeps of pipes and sockets; where these fill the machine it kills plugins first, which frees it all.

source: man 5 proc_pid_fd, proc_pid_maps, proc_meminfo, proc_sysvipc; man 2 memfd_create; man 5 tmpfs
"""

import os
import stat
import sys
import time
from collections.abc import Iterator

from orchestrator.drivers.meltano import family

_FASTEST = 4 * 1024**3  # bytes that are filled within a second at most
_SOONEST, _LATEST = 0.1, 1.0  # seconds between looks at what is taken
_BLOCK = 512  # bytes; what st_blocks counts
_MOST_FILES = 100_000  # in a run's directory; each takes a kilobyte that no size tells
_SHM, _SIZE, _RSS, _SWAP = "/proc/sysvipc/shm", 3, 14, 15  # columns

Files = dict[tuple[int, int], int]  # by device and inode: bytes in memory


class Usage:
    """Looks from time to time at what all below init take together.

    init, proc:         its number, and the /proc that knows it by that
    directory:          the run's own
    memory, processes:  bytes and number that are not too much
    own_ipc:            whether System V's shared memory is the run's alone
    """

    def __init__(self, init: int, proc: str, directory: str, memory: int, processes: int, *, own_ipc: bool) -> None:
        self._proc = proc
        self._init, self._memory, self._processes, self._own_ipc = init, memory, processes, own_ipc
        self._directory = directory if _in_memory(directory) else None
        self._due = time.monotonic() + _LATEST

    @property
    def wait(self) -> float:
        """Seconds until the next look."""
        return max(0.0, self._due - time.monotonic())

    def over(self) -> bytes | None:
        """Of what too much is taken, where it is time to look: `m` memory, `p` processes."""
        if self.wait:
            return None
        private, shared, tasks = family.usage(self._init, self._proc)
        memory = private + max(shared, _shared_by_all())
        if memory > self._memory:
            memory = private + max(shared, self._shared())
        room = (self._memory - memory) / _FASTEST
        self._due = time.monotonic() + min(_LATEST, max(_SOONEST, room))
        if memory > self._memory:
            return b"m"
        return b"p" if tasks > self._processes else None

    def _shared(self) -> int:
        """Bytes of all files in memory, whether they have a name, are open, mapped, or nothing of it."""
        files: Files = {}
        unnamed = _device_of_unnamed()
        try:
            if self._directory is not None:
                files |= _below(self._directory)
        except (OSError, RecursionError):
            return sys.maxsize  # who hides files from us has no right to them
        devices = {device for device, _ in files} | {unnamed}
        for pid in family.descendants(self._init, self._proc):
            files |= _open(f"{self._proc}/{pid}", devices)
        for pid in family.descendants(self._init, self._proc):
            for file, size in _mapped(f"{self._proc}/{pid}", unnamed):
                files[file] = max(files.get(file, 0), size)
        return sum(files.values()) + (_system_v() if self._own_ipc else 0)


def _shared_by_all() -> int:
    """Bytes of files in memory and shared memory on the whole machine, or more: what lies in swap could be that."""
    found = dict.fromkeys((b"Shmem", b"SwapTotal", b"SwapFree"), 0)
    for name, value in family.numbers("/proc/meminfo"):
        if name in found:
            found[name] = value * 1024
    return found[b"Shmem"] + found[b"SwapTotal"] - found[b"SwapFree"]


def _in_memory(path: str) -> bool:
    try:
        device = os.stat(path).st_dev
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace", newline="\n") as file:
            mounts = [line.split() for line in file]
    except OSError:
        return False
    number = f"{os.major(device)}:{os.minor(device)}"
    return any(mount[2] == number and mount[mount.index("-") + 1] in {"tmpfs", "ramfs"} for mount in mounts)


def _device_of_unnamed() -> int:
    """The device that memfd_create and shared memory without a name are on; there is one."""
    number = os.memfd_create("device")
    try:
        return os.fstat(number).st_dev
    finally:
        os.close(number)


def _taken(facts: os.stat_result) -> Files:
    return {(facts.st_dev, facts.st_ino): facts.st_blocks * _BLOCK}


def _below(directory: str) -> Files:
    """Of all below a directory. Raises OSError where it can't be looked at, or is too much to look at."""

    def failed(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error

    files = _taken(os.stat(directory))
    for _, _, names, folder in os.fwalk(directory, onerror=failed):
        for name in names:
            try:
                files |= _taken(os.stat(name, dir_fd=folder, follow_symlinks=False))
            except FileNotFoundError:
                continue
        if len(files) > _MOST_FILES:
            raise OSError
    return files


def _open(process: str, devices: set[int]) -> Files:
    """Of what a process has open on these devices."""
    files: Files = {}
    try:
        numbers = os.listdir(f"{process}/fd")
    except OSError:
        return files
    for number in numbers:
        try:
            facts = os.stat(f"{process}/fd/{number}")
        except OSError:
            continue  # just closed
        if stat.S_ISREG(facts.st_mode) and facts.st_dev in devices:
            files |= _taken(facts)
    return files


def _mapped(process: str, device: int) -> Iterator[tuple[tuple[int, int], int]]:
    """Of what a process has mapped of this device: as much as there may be, since nothing tells how much there is."""
    number = f"{os.major(device):02x}:{os.minor(device):02x}"
    try:
        with open(f"{process}/maps", encoding="utf-8", errors="replace", newline="\n") as file:
            lines = file.readlines()  # what is mapped may have a carriage return in its name
    except OSError:
        return
    for line in lines:
        area, _, offset, there, inode, *name = line.split(maxsplit=5)
        if there == number and not (name and name[0].startswith("/SYSV")):
            first, last = (int(part, 16) for part in area.split("-"))
            yield (device, int(inode)), int(offset, 16) + last - first


def _system_v() -> int:
    try:
        with open(_SHM, encoding="ascii") as file:
            rows = [line.split() for line in file][1:]
    except OSError:
        return 0
    return sum(int(row[_RSS]) + int(row[_SWAP]) for row in rows)
