"""Where the console script begins: garbage is not looked for while everything is imported.

Importing makes some hundred thousand objects, and all of them stay. Going through them again and again, and once more
at the end of the process, is a third of what a short command takes.
"""

import gc
import sys


def main() -> None:
    """Console script."""
    gc.disable()
    from orchestrator.entry import main as root

    root.mount(*sys.argv[1:2])
    gc.freeze()
    gc.enable()
    code = root.run(sys.argv[1:])
    gc.freeze()  # the process ends here, and with it all there is
    sys.exit(code)
