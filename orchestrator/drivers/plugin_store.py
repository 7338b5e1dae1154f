"""Plugin environments: built once per recipe, shared by every run.

A recipe is a lock file in plugins/ with its hashed requirements beside it, and the source of a plugin of our own.
Its key is the hash of all three with the Python version and the platform, so a change of any of them is a new
environment and the old one stays good for runs that use it, until nobody has asked for it in a month. Building happens
aside, under a lock per key, and ends with one rename: an environment is either complete or not there.
"""

import fcntl
import json
import os
import platform
import re
import secrets
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from time import time
from typing import Any, Final, Literal

from orchestrator.kernel.errors import NotFoundError, TemporaryError

_SITE: Final = Path(__file__).with_name("plugin_site.py")
_ASIDE = ".building-"
_SOURCE_FILES = {".py", ".toml", ".json", ".yml", ".yaml", ".txt", ".cfg", ".sql"}
_NOT_SOURCE = {"tests", "__pycache__", "dist", "build", ".venv"}
_UV_VARIABLES = re.compile(
    r"(UV|PIP|XDG|SSL_CERT|NIX_SSL)_\w+|HOME|PATH|TMPDIR|LANG|NETRC|\w+_PROXY|\w+_proxy|CC|CFLAGS"
)
_LINES_OF_FAILURE = 12
_UNUSED = timedelta(days=30)  # no run takes so long

Kind = Literal["extractors", "loaders"]


class PluginUnknownError(NotFoundError):
    """There is no lock file for this plugin and variant."""

    code = "plugin_unknown"


class PluginBuildError(TemporaryError):
    """An environment could not be built; nothing is left of it. detail: the end of what the installer said."""

    code = "plugin_build_failed"

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(
            f"The environment of {name} could not be built: {_reason(detail)}",
            hint="The first build downloads packages: check the network and proxy, then: orchestrator doctor.",
            plugin=name,
        )
        self.detail = detail


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What one plugin's environment is made of, read from its lock file.

    program:       the script in the environment's bin
    requirements:  hashed, complete; installed without resolving
    source:        folder of our own plugin, None for a published one
    pip_url:       how pip installs it without us, from the root of a project
    """

    kind: Kind
    name: str
    variant: str
    program: str
    capabilities: tuple[str, ...]
    settings: tuple[Mapping[str, Any], ...]
    requirements: Path
    source: Path | None
    pip_url: str

    @property
    def label(self) -> str:
        """For people and file names."""
        return f"{self.name}--{self.variant}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Whether a plugin is ready to start, for the doctor."""

    plugin: str
    kind: Kind
    key: str
    ready: bool
    path: Path


def recipes(root: Path) -> tuple[Recipe, ...]:
    """Every plugin with a lock file under root/plugins, sorted by kind and name."""
    files = [path for kind in ("extractors", "loaders") for path in sorted((root / "plugins" / kind).glob("*.lock"))]
    return tuple(_recipe(root, path) for path in files)


def recipe(root: Path, kind: Kind, name: str, variant: str) -> Recipe:
    """One plugin's recipe. Raises PluginUnknownError."""
    path = root / "plugins" / kind / f"{name}--{variant}.lock"
    if not path.is_file():
        raise PluginUnknownError(
            f"There is no plugin {name} of variant {variant}.",
            hint=f"plugins/{kind}/ has one lock file per plugin and variant.",
            plugin=name,
            variant=variant,
        )
    return _recipe(root, path)


def _recipe(root: Path, path: Path) -> Recipe:
    lock = json.loads(path.read_text(encoding="utf-8"))
    pip_url = str(lock.get("pip_url", ""))
    source = root / pip_url.removeprefix("-e ") if pip_url.startswith("-e ") else None
    return Recipe(
        kind=lock["plugin_type"],
        name=lock["name"],
        variant=lock["variant"],
        program=lock.get("executable", lock["name"]),
        capabilities=tuple(lock.get("capabilities", ())),
        settings=tuple(lock.get("settings", ())),
        requirements=path.with_suffix(".requirements.txt"),
        source=source,
        pip_url=pip_url,
    )


class PluginStore:
    """Environments under home/plugins.

    environ:  the operator's variables; the installer sees those it needs (proxy, certificates, index) and no others
    """

    def __init__(self, home: Path, *, environ: Mapping[str, str]) -> None:
        self._root = home / "plugins"
        self._environ = {name: value for name, value in environ.items() if _UV_VARIABLES.fullmatch(name)}

    def program(self, plugin: Recipe) -> Path:
        """The plugin's program, its environment built first where it is missing. Raises PluginBuildError."""
        return self.ensure(plugin) / "bin" / plugin.program

    def ensure(self, plugin: Recipe) -> Path:
        """The environment's folder. A second caller waits for the first one's build."""
        path = self._root / self.key(plugin)
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = self._root / f"{path.name}.lock"
        with _locked(lock, shared=True):
            if path.is_dir():
                os.utime(path)  # asked for now: see collect
                return path
        with _locked(lock):
            self._clear(path.name)
            if not path.is_dir():
                self._build(plugin, path)
        return path

    def key(self, plugin: Recipe) -> str:
        """Name of the environment: the plugin's, and a hash of all that decides what is in it."""
        digest = sha256()
        ours = [] if plugin.source is None else [part for file in source_files(plugin.source) for part in file]
        for part in (plugin.requirements.read_bytes(), _SITE.read_bytes(), *ours, *self._platform):
            digest.update(len(part).to_bytes(8, "big") + part)
        return f"{plugin.label}-{digest.hexdigest()[:16]}"

    def status(self, plugins: Sequence[Recipe]) -> tuple[Status, ...]:
        """Which environments are ready, without building any."""
        keys = [(plugin, self.key(plugin)) for plugin in plugins]
        return tuple(
            Status(
                plugin=plugin.label, kind=plugin.kind, key=key, ready=(self._root / key).is_dir(), path=self._root / key
            )
            for plugin, key in keys
        )

    def collect(self, current: Sequence[Recipe], *, unused: timedelta = _UNUSED) -> int:
        """Remove what interrupted builds left, and environments nobody asked for in so long; how many there were.

        Builds under way and the environments of `current` stay. So does what a run uses: it asked for it.
        """
        kept, count = {self.key(plugin) for plugin in current}, 0
        for lock in self._root.glob("*.lock"):
            with _locked(lock, wait=False) as mine:
                if not mine:
                    continue
                path = self._root / lock.stem
                if lock.stem not in kept and path.is_dir() and time() - path.stat().st_mtime > unused.total_seconds():
                    path.rename(self._aside(lock.stem))
                count += self._clear(lock.stem)
        return count

    @cached_property
    def _platform(self) -> tuple[bytes, ...]:
        return tuple(part.encode() for part in (platform.python_version(), sysconfig.get_platform(), sys.base_prefix))

    def _aside(self, key: str) -> Path:
        """A folder that is not an environment: not yet, or no more."""
        return self._root / f"{_ASIDE}{key}.{secrets.token_hex(4)}"

    def _clear(self, key: str) -> int:
        """Remove what is aside of this key, how many; nobody works on it, because we hold its lock."""
        left = list(self._root.glob(f"{_ASIDE}{key}.*"))
        for aside in left:
            shutil.rmtree(aside, ignore_errors=True)
        return len(left)

    def _build(self, plugin: Recipe, path: Path) -> None:
        aside = self._aside(path.name)
        try:
            self._uv(plugin, "venv", "--relocatable", "--no-project", "--python", sys.executable, str(aside))
            python = ("--python", str(aside / "bin" / "python"))
            exact = ("--no-deps", "--require-hashes", "--compile-bytecode")
            self._uv(plugin, "pip", "install", *python, *exact, "--requirements", str(plugin.requirements))
            if plugin.source is not None:
                wheel = self._wheel(plugin, plugin.source, aside / "wheel")
                self._uv(plugin, "pip", "install", *python, "--no-deps", "--compile-bytecode", str(wheel))
                shutil.rmtree(wheel.parent)
            [site] = (aside / "lib").glob("python*/site-packages")
            shutil.copyfile(_SITE, site / "sitecustomize.py")
            aside.rename(path)
        except OSError as error:
            raise PluginBuildError(plugin.label, f"{error.strerror}: {error.filename}") from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def _wheel(self, plugin: Recipe, source: Path, folder: Path) -> Path:
        """Our own source as a wheel, built with the hatchling beside us: no network needed."""
        python = ("--python", sys.executable)
        self._uv(plugin, "build", "--wheel", "--no-build-isolation", *python, "--out-dir", str(folder), str(source))
        [wheel] = folder.glob("*.whl")
        return wheel

    def _uv(self, plugin: Recipe, *arguments: str) -> None:
        from uv import find_uv_bin

        done = subprocess.run(
            (find_uv_bin(), "--quiet", "--no-progress", *arguments),
            cwd=self._root,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode != 0:
            said = re.sub(r"://[^/@\s]+@", "://", done.stderr).strip().splitlines()
            raise PluginBuildError(plugin.label, "\n".join(said[-_LINES_OF_FAILURE:]))


def _reason(detail: str) -> str:
    """The innermost cause uv names, in one line; what it says last where it names none."""
    causes = re.findall(r"(?:error|cause|Caused by): *(.+)", detail) or detail.splitlines()
    return (causes[-1].strip() if causes else "the installer said nothing").rstrip(".") + "."


def source_files(folder: Path) -> Iterator[tuple[bytes, bytes]]:
    """Names, below the folder, and contents of everything that ends up in our own plugin's wheel."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.suffix in _SOURCE_FILES and not _NOT_SOURCE.intersection(inside.parts):
            yield str(inside).encode(), path.read_bytes()


@contextmanager
def _locked(path: Path, *, wait: bool = True, shared: bool = False) -> Iterator[bool]:
    """Hold the lock of one key across processes and threads; False where it is taken and we don't wait."""
    file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(file)
