"""Leave this process, and all it will start, no way to a unix socket: Linux's seccomp.

Databases, name services, D-Bus and Docker are asked through unix sockets, and what they let in by the user who asks
is our user's: Landlock doesn't cover connecting. Pairs of streams stay, since they connect to nobody else; one of a
pair of datagram sockets can be connected again, and send anywhere. A silent connection to the embedded Postgres takes
one of its places, so a plugin could lock everybody out with a hundred.
It asks for no privilege once no_new_privs is set (landlock.py), and can't be undone.

Standard library only: the launcher imports this on every start's path.
source: man 2 seccomp, 2 socket; linux/filter.h, linux/seccomp.h, linux/audit.h; Linux,
Documentation/userspace-api/seccomp_filter.rst; io_uring makes sockets without the system call (IORING_OP_SOCKET)
"""

import errno
import os
import struct
import sys

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 38, 22, 2
_MACHINES = {
    "x86_64": (0xC000003E, 41, 53),
    "aarch64": (0xC00000B7, 198, 199),
}  # architecture as audit calls it, the numbers of socket and socketpair
_IO_URING_SETUP = 425  # the same on every architecture
_X32 = 0x4000_0000  # bit of the numbers of x86_64's second set of system calls
_AF_UNIX = 1
_TYPE, _STREAM, _SEQPACKET = 0xF, 1, 5  # what of a type is no flag; the two that stay connected as they are
# Offsets in what the kernel hands a filter, on little-endian machines
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT, _SECOND_ARGUMENT = 0, 4, 16, 24
_LOAD, _AND, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000


def no_unix_sockets() -> bool:
    """Refuse to make any from here on, for good; False where that can't be had."""
    machine = _MACHINES.get(os.uname().machine) if sys.platform == "linux" else None
    if machine is None:
        return False
    import ctypes

    program = b"".join(struct.pack("=HBBI", *step) for step in _steps(*machine))
    steps = ctypes.create_string_buffer(program, len(program))
    given = struct.pack("@HP", len(program) // 8, ctypes.addressof(steps))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    return bool(libc.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.c_char_p(given), 0, 0) == 0)


def _steps(architecture: int, socket: int, pair: int) -> tuple[tuple[int, int, int, int], ...]:
    """Code, steps to leave out where it holds, where it doesn't, operand."""
    return (
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 0, 12, architecture),  # another one has other numbers: refused
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 10, 0, _X32),
        (_EQUAL, 9, 0, _IO_URING_SETUP),
        (_EQUAL, 5, 0, socket),
        (_EQUAL, 0, 6, pair),
        (_LOAD, 0, 0, _SECOND_ARGUMENT),
        (_AND, 0, 0, _TYPE),
        (_EQUAL, 3, 0, _STREAM),
        (_EQUAL, 2, 3, _SEQPACKET),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_EQUAL, 1, 0, _AF_UNIX),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE | errno.EACCES),
    )
