"""Writes .env.example from the settings: `python -m orchestrator.entry.env_example`, or `make env`."""

import sys
import textwrap
from datetime import timedelta
from typing import Any

from pydantic import ByteSize

from orchestrator.kernel import durations, environment

_HEAD = """\
# Every setting of Orchestrator, with its default. None is needed to start: without any of them an embedded Postgres
# and a key file are used. Copy the lines you change to `.env` in this folder, or set them in the environment.
"""


def render() -> str:
    """The file's text; secrets and paths of this machine are never part of it."""
    lines = [_HEAD]
    for name, description, default in environment.variables():
        lines += [f"# {line}" for line in textwrap.wrap(description, 110)]
        lines.append(f"# {name}={_shown(default)}\n")
    for line in (
        "OAuth apps you registered with a provider, for its sign-in; the same for every provider.",
        "SALESFORCE_CLIENT_ID=",
        "SALESFORCE_CLIENT_SECRET=",
    ):
        lines.append(f"# {line}")
    return "\n".join(lines) + "\n"


def _shown(default: Any) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, timedelta):
        return durations.spoken(default).replace(" ", "").replace("min", "m")
    if isinstance(default, ByteSize):
        return default.human_readable(separator=" ").replace(".0", "")
    return str(default) if isinstance(default, str | int) else ""


if __name__ == "__main__":
    sys.stdout.write(render())
