"""Start Meltano as its own script does, without looking for garbage among what it imports.

Started as a script by the Python that runs the orchestrator, isolated (-I): begin.py PROGRAM ARGUMENT…, where PROGRAM
is what Meltano's script would be called. Nothing that is imported is ever garbage, and nothing is worth collecting
when the process ends; looking for it, again and again and at the end, is a sixth of what starting Meltano takes.
"""

import atexit
import gc
import sys


def main() -> None:
    """Become Meltano; returns only by SystemExit."""
    gc.disable()
    from meltano.cli import main as meltano

    gc.freeze()
    gc.enable()
    atexit.register(gc.freeze)
    del sys.argv[0]
    sys.exit(meltano())


if __name__ == "__main__":
    main()
