"""Keep what is in this process's memory in it."""

import resource
import sys

_PR_SET_DUMPABLE = 4


def keep_private() -> None:
    """Leave no core dump, and let no other process of our user read our memory and environment; before secrets come.

    Programs we start decide for themselves, but for the limit, which they inherit.
    source: man 5 core (a limit of 0 doesn't hold where dumps go to a program), 2 prctl
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
