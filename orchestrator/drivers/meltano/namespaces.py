"""What the supervisor asks the kernel for, so that a run's processes see and outlive no more than they should.

Everything is tried, and left where it is not allowed: what holds then is what `isolate` says. Standard library only.
source: man 2 unshare, 7 pid_namespaces, 7 user_namespaces, 7 mount_namespaces, 7 ipc_namespaces; 2 prctl,
7 capabilities
"""

import os
import signal
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache

TYPE_CHECKING = False  # typing, shutil, secrets and socket are half of what starting takes
if TYPE_CHECKING:
    import _socket
    import ctypes

_CLONE_NEWNS, _CLONE_NEWIPC, _CLONE_NEWUSER, _CLONE_NEWPID = 0x00020000, 0x08000000, 0x10000000, 0x20000000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_BIND, _MS_REC, _MS_PRIVATE = 2, 4, 8, 0x1000, 0x4000, 1 << 18
_MNT_DETACH = 2
_MOUNT_SETATTR, _MOUNT_ATTR_RDONLY, _AT_FDCWD, _AT_RECURSIVE = 442, 1, -100, 0x8000
_OPEN_TREE, _OPEN_TREE_CLONE, _MOVE_MOUNT, _MOVE_MOUNT_F_EMPTY_PATH = 428, 1, 429, 4
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_CHILD_SUBREAPER = 1, 4, 24, 36
_KEPT = {"CHOWN": 0, "DAC_OVERRIDE": 1, "DAC_READ_SEARCH": 2, "FOWNER": 3, "FSETID": 4}  # capabilities
_CAPABILITIES = 64  # the kernel keeps them in so many bits
_CAPABILITY_VERSION = 0x20080522  # of the structures that capget and capset have
_HIDDEN = (  # where programs are started by asking for it: their own users are whom we keep apart
    "/run/user", "/run/dbus", "/run/systemd/private", "/run/docker.sock", "/run/containerd", "/run/podman", "/run/crio",
    "/run/libvirt", "/run/lxd", "/run/snapd.socket", "/var/lib/lxd", "/var/snap/lxd/common/lxd/unix.socket",
)  # fmt: skip
_LONGEST_SETTLING = 5.0  # seconds
_LINUX = sys.platform == "linux"


@cache
def _libc() -> "ctypes.CDLL":
    import ctypes  # only where we run: the supervisor's clean-up is imported too

    return ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> bool:
    return _LINUX and _libc().prctl(option, value, 0, 0, 0) == 0


def _unshare(flags: int) -> bool:
    return _LINUX and _libc().unshare(flags) == 0


def end_with_parent() -> None:
    """Be killed when our parent ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def close_to_others() -> None:
    """Let no other process of our user read our memory and open files."""
    _prctl(_PR_SET_DUMPABLE, 0)


def keep_few_capabilities() -> None:
    """Let root do no more than use files, and others nothing, here and in what is executed next."""
    for capability in set(range(_CAPABILITIES)).difference(_KEPT.values()):
        _prctl(_PR_CAPBSET_DROP, capability)
    if _LINUX:
        _drop_all_but(sum(1 << capability for capability in _KEPT.values()) if os.geteuid() == 0 else 0)


def _drop_all_but(kept: int) -> None:
    """kept: a bit for each, of those that we have."""
    import ctypes

    header, sets = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()
    if _libc().capget(header, sets) == 0:
        for at, mask in enumerate((kept, kept, 0)):  # effective, permitted, inheritable; then those over 31
            sets[at] &= mask
            sets[at + 3] = 0
        _libc().capset(header, sets)


def _map_own_user(uid: int, gid: int) -> None:
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
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


def isolate(wanted: str) -> str:
    """Enter the strongest isolation that is both wanted and allowed here; the name of what it became."""
    if wanted == "namespace" and (_unshare(_CLONE_NEWPID) or (_tried(_enter_as_user) and _enter_as_user())):
        return "namespace"
    return "subreaper" if _prctl(_PR_SET_CHILD_SUBREAPER, 1) else "group"


def own_ipc() -> bool:
    """Have shared memory and queues of System V of our own from here on, which end with us; whether that is allowed."""
    return _unshare(_CLONE_NEWIPC)


def own_view(directories: Sequence[str]) -> bool:
    """Show of processes those of the namespace, of runs the first of the directories, and no service to start programs.

    Of the rest nothing can be changed. Where mounting is not allowed the old view stays. True where there is a /proc of
    our own.
    """
    if not _unshare(_CLONE_NEWNS):
        return False
    plain = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    _libc().mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)
    own_proc = bool(_libc().mount(b"proc", b"/proc", b"proc", plain, None) == 0)
    for path in _HIDDEN:
        if any(directory.startswith(f"{path}/") for directory in directories):
            continue
        if os.path.isdir(path):
            _libc().mount(b"none", path.encode(), b"tmpfs", plain, b"size=4k,mode=0")
        elif os.path.exists(path):
            _libc().mount(os.devnull.encode(), path.encode(), None, _MS_BIND, None)
    _hide_others(directories[0])
    _keep_as_it_is(("/proc", *directories, *_writable(directories[0])))
    os.chdir(directories[0])  # where we were so far, all is as it was
    return own_proc


def _writable(directory: str) -> Iterator[str]:
    """Folders outside of the run's directory that its plugins may write to: what launcher.py is told."""
    for side in ("extractor", "loader"):
        try:
            with open(f"{directory}/launch/{side}", "rb") as file:
                words = file.read().decode(errors="surrogateescape").split("\0")
        except OSError:
            continue
        yield from (
            value for name, value in zip(words[::2], words[1::2], strict=False)
            if name == "writable" and value.startswith(os.sep)
        )  # fmt: skip


def _keep_as_it_is(but: Sequence[str]) -> None:
    """Let nobody change modes, owners or anything else of files that don't lie below one of these.

    Landlock covers opening files, not chmod: root could make any program set-user-id, and others hide our key from us.
    These are put back as they were with all that is mounted below, a disk of its own for the loaded files or a
    container's /proc/sys. Where one of them can't be kept, all stays open.
    source: man 2 mount_setattr, open_tree, move_mount
    """
    kept = [_tree(path) for path in but]
    if -1 not in kept and _read_only("/"):
        for path, tree in zip(but, kept, strict=True):
            _libc().syscall(_MOVE_MOUNT, tree, b"", _AT_FDCWD, os.fsencode(path), _MOVE_MOUNT_F_EMPTY_PATH)
    for tree in kept:
        if tree != -1:
            os.close(tree)


def _tree(path: str) -> int:
    """A descriptor of a copy of what is mounted at a path and below, at no place yet; -1 where that isn't allowed."""
    how = _OPEN_TREE_CLONE | _AT_RECURSIVE | os.O_CLOEXEC
    return int(_libc().syscall(_OPEN_TREE, _AT_FDCWD, os.fsencode(path), how))


def _read_only(path: str) -> bool:
    """Whether nothing can be changed any more at a path and in what is mounted below."""
    attributes = struct.pack("=QQQQ", _MOUNT_ATTR_RDONLY, 0, 0, 0)
    call = (_MOUNT_SETATTR, _AT_FDCWD, os.fsencode(path), _AT_RECURSIVE, attributes, len(attributes))
    return bool(_libc().syscall(*call) == 0)


def pair() -> "tuple[_socket.socket, _socket.socket]":
    """Two ends of a line for `show_proc` and `shown_proc`."""
    import _socket

    return _socket.socketpair()


def show_proc(line: "_socket.socket") -> None:
    """Let the other end look at our /proc."""
    import _socket

    folder = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    line.sendmsg([b"p"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, folder.to_bytes(4, sys.byteorder))])
    os.close(folder)


def shown_proc(line: "_socket.socket") -> str | None:
    """The /proc of the other end, as a path for as long as we live; None where it closes its end instead.

    It hides nothing by hidepid, which holds for each mount by itself. source: Linux, Documentation/filesystems/proc.rst
    """
    import _socket

    line.settimeout(_LONGEST_SETTLING)
    try:
        _, given, _, _ = line.recvmsg(1, _socket.CMSG_SPACE(4), _socket.MSG_CMSG_CLOEXEC)
    except OSError:
        return None
    return f"/proc/self/fd/{int.from_bytes(given[0][2], sys.byteorder)}" if given else None


def _hide_others(directory: str) -> None:
    """Leave of the folder that a directory is in that directory alone: other runs' names and sockets are there."""
    root, own = os.path.dirname(directory), os.open(directory, os.O_PATH)
    libc, folder = _libc(), os.fsencode(root)
    if libc.mount(b"none", folder, b"tmpfs", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, b"size=4k,mode=700") == 0:
        os.mkdir(directory, 0o700)
        if libc.mount(b"/proc/self/fd/%d" % own, os.fsencode(directory), None, _MS_BIND | _MS_REC, None):
            libc.umount2(folder, _MNT_DETACH)
    os.close(own)
