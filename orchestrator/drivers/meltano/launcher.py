"""Start a plugin's own program with nothing but what it needs; the `executable` of every plugin is this.

Run as a script with the Python that runs the orchestrator, isolated (-I -S); standard library only.

    launcher.py SIDE ARGUMENT…

SIDE is extractor or loader. `launch/SIDE.json` in the run's directory (Meltano sets MELTANO_PROJECT_ROOT) says:
    executable  absolute path of the plugin's program
    pass        names of the variables kept from Meltano's environment; every other one is dropped, so that no
                plugin has the other's secrets in its environment, or its own outside its config file
    set         further variables
    decode      settings that came as JSON text because Meltano cannot carry them as they are; the plugin gets a
                second config file, beside Meltano's, that has what the texts say
    limits      {"CORE": 0, …}: resource limits, soft and hard

What this keeps apart and what not: a plugin can read neither the environment nor the memory nor the open files of
Meltano and the supervisor (supervise.py, begin.py). Both plugins run as the same user in the same directory, though:
one that wants to can read the other's config file there, and its environment before it comes here.
"""

import json
import os
import resource
import sys


def _decoded(path: str, settings: list[str]) -> str:
    with open(path, encoding="utf-8") as file:  # noqa: PTH123 - keeps pathlib unloaded, this is on every start's path
        config = json.load(file)
    for name in settings:
        if name in config:
            config[name] = json.loads(config[name])
    with open(f"{path}.decoded", "w", encoding="utf-8") as file:  # noqa: PTH123
        json.dump(config, file)
    return f"{path}.decoded"


def main(arguments: list[str]) -> None:
    """Become the plugin; returns only by exception."""
    side, *rest = arguments
    os.umask(0o077)
    root = os.environ["MELTANO_PROJECT_ROOT"]  # noqa: TID251 - this is a process of its own, without our settings
    with open(f"{root}/launch/{side}.json", encoding="utf-8") as file:  # noqa: PTH123
        description = json.load(file)
    environment = {
        name: os.environ[name]  # noqa: TID251
        for name in description["pass"]
        if name in os.environ  # noqa: TID251
    }
    environment.update(description["set"])
    if description["decode"] and "--config" in rest:
        position = rest.index("--config") + 1
        rest[position] = _decoded(rest[position], description["decode"])
    for name, value in description["limits"].items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
    program = description["executable"]
    os.execve(program, [program, *rest], environment)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
