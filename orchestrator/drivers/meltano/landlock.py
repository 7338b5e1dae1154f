"""Leave this process, and all it will start, the files it is given and nothing else: Linux's Landlock.

It asks for no privilege and no namespace, holds for root too, and can't be undone. Whoever is confined can also read
no other process's environment, memory or open files unless that is confined with it, and nothing is set-user-id to it.
What it doesn't cover: connecting to sockets (seccomp.py), changing modes and owners of files (namespaces.py), their
names and sizes, and what is said on the command line of others.

Standard library only: the launcher imports this on every start's path.
source: man 7 landlock; linux/landlock.h; Linux, Documentation/userspace-api/landlock.rst ("Ptrace restrictions")
"""

import os
import struct
import sys
from collections.abc import Iterable, Iterator

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture that Python runs on
_ASK_VERSION = 1
_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_KNOWN = {1: 1 << 13, 2: 1 << 14, 3: 1 << 15, 5: 1 << 16}  # version: the first right it doesn't know
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV  # others make sense for folders only
_SCOPED_SINCE, _SCOPED = 6, 0b11  # abstract sockets and signals stay among those confined together


def version() -> int:
    """What this kernel knows of Landlock; 0 where it has none, or where whoever started us forbids to ask."""
    return max(0, _call(_CREATE_RULESET, None, 0, _ASK_VERSION)) if sys.platform == "linux" else 0


def confine(*, readable: Iterable[str], writable: Iterable[str]) -> bool:
    """Keep to these files and to all below these folders, for good; False where there is no Landlock.

    readable:  may be read, listed and executed
    writable:  may be read, listed, written, made and removed, but not executed; devices may be controlled
    Paths that are not there, or not ours to open, are left out. Raises OSError where the kernel refuses.
    """
    known = version()
    if not known:
        return False
    handled = _KNOWN[max(number for number in _KNOWN if number <= known)] - 1
    reading = _READ_FILE | _READ_DIR | _EXECUTE
    scoped = _SCOPED if known >= _SCOPED_SINCE else 0
    rules = _done(_call(_CREATE_RULESET, struct.pack("=QQQ", handled, 0, scoped), 24, 0))
    for path, access in (*_each(readable, reading), *_each(writable, handled & ~_EXECUTE)):
        _allow(rules, path, access)
    import ctypes

    _done(ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _done(_call(_RESTRICT_SELF, rules, 0))
    os.close(rules)
    return True


def _each(paths: Iterable[str], access: int) -> Iterator[tuple[str, int]]:
    for path in paths:
        yield path, access if os.path.isdir(path) else access & _OF_FILES


def _allow(rules: int, path: str, access: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    _done(_call(_ADD_RULE, rules, _PATH_BENEATH, struct.pack("=Qi", access, place), 0))
    os.close(place)


def _call(number: int, *arguments: "int | bytes | None") -> int:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    given = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return int(libc.syscall(ctypes.c_long(number), *given))


def _done(result: int) -> int:
    """The result where it is none of a failed call's."""
    if result < 0:
        import ctypes

        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
