"""Where the console script begins: garbage is not looked for while everything is imported.

Importing makes some hundred thousand objects, and all of them stay. Going through them again and again, and taking them
apart at the end of the process, is a third of what a short command takes. Where the command will start Meltano, that is
imported at the same time, by a process of its own.
"""

import gc
import sys
from collections.abc import Sequence

from orchestrator.drivers.leaving import leave
from orchestrator.drivers.meltano import ahead
from orchestrator.kernel import stdio

_OF_MELTANO = {"sync", "backfill", "test", "discover"}  # commands that start it here
_ELSEWHERE = {"--help", "-h", "--detach", "-d"}  # unless they are told to
_INTERRUPTED = 130


def _starts_meltano(words: Sequence[str]) -> bool:
    return len(words) > 1 and words[0] in _OF_MELTANO and _ELSEWHERE.isdisjoint(words)


def main() -> None:
    """Console script."""
    gc.disable()
    stdio.prepare()
    words = sys.argv[1:]
    if _starts_meltano(words):
        ahead.begin()
    try:
        from orchestrator.entry import main as root

        root.mount(*words[:1])
        gc.freeze()
        gc.enable()
        code = root.run(words)
    except KeyboardInterrupt:  # while all that was imported; later it is run() that says so
        sys.stderr.write("Stopped.\n")
        code = _INTERRUPTED
    finally:
        ahead.end()
    leave(code)
