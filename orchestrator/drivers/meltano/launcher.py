"""Start a plugin's own program with nothing but what it needs; the `executable` of every plugin is this.

Run as a script with the Python that runs the orchestrator, isolated (-I -S); standard library and our neighbours only.

    launcher.py SIDE ARGUMENT…

SIDE is extractor or loader. `launch/SIDE` in the run's directory (Meltano sets MELTANO_PROJECT_ROOT) says, as names and
values in turn with a NUL after each, since reading JSON would take as long as Python takes to start:
    executable  absolute path of the plugin's program
    pass        name of a variable kept from Meltano's environment; every other one is dropped, so that no plugin has
                the other's secrets in its environment, or its own outside its config file
    set         NAME=value, a further variable
    decode      a setting that came as JSON text because Meltano cannot carry it as it is; the plugin gets a second
                config file, beside Meltano's, that has what the text says
    limit       NAME=value, a resource limit, soft and hard
    readable    a file or folder it may read besides its own environment, the system's programs and libraries, and what
                its arguments and variables name
    writable    a folder it may also write to, besides its own; a relative one is below the run's directory
    sockets     unix: it may connect to unix sockets; every other plugin can make none (seccomp.py)

Its own folder is SIDE in the run's directory, with `home` and `tmp`; there it is started. What it may reach holds by
Landlock (landlock.py): it can read neither the other plugin's config file, environment and memory, nor anything of the
orchestrator, nor change its own environment, which other runs share. Without Landlock nothing of that holds but what
supervise.py and begin.py keep closed. Where memory ends, the kernel ends plugins first.
"""

import os
import resource
import sys
from collections.abc import Iterable, Iterator, Sequence

sys.path.append(__file__.rsplit(os.sep, 4)[0])

from orchestrator.drivers.meltano import landlock, relay, seccomp

_SYSTEM = (  # programs and libraries; what others are told by being installed there is no secret
    "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib32", "/usr/lib64",
    "/usr/libexec", "/usr/share", "/usr/local/bin", "/usr/local/lib", "/usr/local/lib64", "/usr/local/share",
    "/nix/store", "/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d",
)  # fmt: skip
_FACTS = (  # names, time, certificates; not the private keys beside them
    "/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf", "/etc/services",
    "/etc/protocols", "/etc/passwd", "/etc/group", "/etc/localtime", "/etc/timezone", "/etc/os-release",
    "/etc/mime.types", "/etc/ssl/certs", "/etc/ssl/cert.pem", "/etc/ssl/openssl.cnf", "/etc/ca-certificates",
    "/etc/pki/tls/certs", "/etc/pki/tls/cert.pem", "/etc/pki/tls/openssl.cnf", "/etc/pki/ca-trust",
    "/etc/crypto-policies", "/proc", "/sys/fs/cgroup", "/sys/devices/system", "/dev/zero", "/dev/random",
    "/dev/urandom", "/run/systemd/resolve", "/run/resolvconf",  # where resolv.conf is a link to, and is replaced
)  # fmt: skip
_DEVICES = ("/dev/null", "/dev/full")
_KILLED_FIRST = b"1000"
# How programs of Python begin that are moved with their environment. source: uv, relocatable environments
_BY_SHELL = b"""#!/bin/sh
'''exec' "$(dirname -- "$(realpath -- "$0")")"/'python' "$0" "$@"
"""


def _decoded(path: str, settings: Sequence[str]) -> str:
    import json

    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    for name in settings:
        if name in config:
            config[name] = json.loads(config[name])
    with open(f"{path}.decoded", "w", encoding="utf-8") as file:
        json.dump(config, file)
    return f"{path}.decoded"


def _own(program: str) -> Iterator[str]:
    """The plugin's environment, and of the Python that stands behind it no more than runs it."""
    environment = program.rsplit(os.sep, 2)[0]
    yield environment
    python = os.path.realpath(f"{environment}/bin/python")
    yield python
    prefix = python.rsplit(os.sep, 2)[0]
    yield from (f"{prefix}/lib", f"{prefix}/lib64", f"{prefix}/ssl")


def _interpreter(program: str) -> Iterator[str]:
    """The Python beside it, where a shell, realpath and dirname would look for it first: ten milliseconds less."""
    try:
        with open(program, "rb") as file:
            begins = file.read(len(_BY_SHELL))
    except OSError:
        return  # what is wrong with it shows when it is started
    if begins == _BY_SHELL:
        yield f"{os.path.realpath(program).rsplit(os.sep, 1)[0]}/python"


def _files(texts: Iterable[str]) -> Iterator[str]:
    return (text for text in texts if text.startswith(os.sep) and os.path.isfile(text))


def _description(path: str) -> dict[str, list[str]]:
    with open(path, "rb") as file:
        words = file.read().decode(errors="surrogateescape").split("\0")
    said: dict[str, list[str]] = {}
    for name, value in zip(words[::2], words[1::2], strict=False):  # the last is followed by nothing
        said.setdefault(name, []).append(value)
    return said


def _pairs(texts: Iterable[str]) -> dict[str, str]:
    return {name: value for name, _, value in (text.partition("=") for text in texts)}


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    least = value if hard == resource.RLIM_INFINITY else min(value, hard)  # nobody may raise the hard one
    resource.setrlimit(kind, (least, least))


def _first_to_go() -> None:
    try:
        with open("/proc/self/oom_score_adj", "wb") as file:
            file.write(_KILLED_FIRST)
    except OSError:
        return  # no such thing here


def main(arguments: list[str]) -> None:
    """Become the plugin; returns only by exception."""
    side, *rest = arguments
    os.umask(0o077)
    root = os.environ["MELTANO_PROJECT_ROOT"]  # noqa: TID251 - this is a process of its own, without our settings
    said = _description(f"{root}/launch/{side}")
    own = f"{root}/{side}"
    environment = {
        name: os.environ[name]  # noqa: TID251 - as above
        for name in said.get("pass", ())
        if name in os.environ  # noqa: TID251 - as above
    }
    environment |= {"JOBLIB_MULTIPROCESSING": "0"}  # it would try semaphores, warn that there are none, and go on
    environment |= {"HOME": f"{own}/home", "TMPDIR": f"{own}/tmp"}  # noqa: S108 - its own
    environment |= _pairs(said.get("set", ()))
    if "decode" in said and "--config" in rest:
        position = rest.index("--config") + 1
        rest[position] = _decoded(rest[position], said["decode"])
    for name, value in _pairs(said.get("limit", ())).items():
        _limit(getattr(resource, f"RLIMIT_{name}"), int(value))
    [program] = said["executable"]
    os.chdir(own)
    relay.stand_between()
    _first_to_go()
    landlock.confine(
        readable=(*_SYSTEM, *_FACTS, *_own(program), *_files(environment.values()), *said.get("readable", ())),
        writable=(*_DEVICES, own, *_files(rest), *(os.path.join(root, path) for path in said.get("writable", ()))),
    )
    if "sockets" not in said:
        seccomp.no_unix_sockets()
    command = [*_interpreter(program), program, *rest]
    os.execve(command[0], command, environment)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
