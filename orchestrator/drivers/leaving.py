"""The end of a process: all that Python does then, but for taking apart what ends with the process anyway.

Of a program with a thousand modules that is 15 to 25 ms, in which whoever waits for it waits for nothing.
Standard library only, and little of it: what starts Meltano imports it.
"""

import atexit
import os
import sys
import threading
from typing import Final, NoReturn

_UNWRITTEN: Final = 120  # source: Python, Py_FinalizeEx


def leave(code: int) -> NoReturn:
    """End with this code, after threads that are waited for and functions registered with atexit.

    Where the last words can't be written, a code of 0 becomes 120, as Python's own.
    """
    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - as Python's own end does; there is no other name
    atexit._run_exitfuncs()  # noqa: SLF001 - as above
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except (OSError, ValueError):
            code = code or _UNWRITTEN
    os._exit(code)
