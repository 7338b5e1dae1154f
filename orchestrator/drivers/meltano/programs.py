"""The two programs meltano.yml names as `executable`: small scripts that start our launcher with its side.

They live under the home, not in the run's directory: memory-backed storage is often mounted noexec.
"""

import secrets
import shlex
import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from orchestrator.drivers.meltano.values import Side

_LAUNCHER = Path(__file__).with_name("launcher.py")


def programs(home: Path) -> Mapping[Side, Path]:
    """The program per side, written where it is not there yet; the name follows the text, so versions can coexist."""
    found = {}
    for side in Side:
        command = shlex.join((sys.executable, "-I", "-S", str(_LAUNCHER), str(side)))
        text = f'#!/bin/sh\nexec {command} "$@"\n'
        path = home / "launchers" / f"{side}-{sha256(text.encode()).hexdigest()[:12]}"
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            aside = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
            aside.write_text(text, encoding="utf-8")
            aside.chmod(0o700)
            aside.replace(path)
        found[side] = path
    return found
