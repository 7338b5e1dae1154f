"""Render a project into its run's directory: structure into meltano.yml, values into environment variables.

meltano.yml never holds a value: Meltano expands ${…} in it from the environment, so a value could read the
worker's variables. Environment values are not expanded. What Meltano cannot carry unchanged through one (floats,
NUL, lone surrogates, keys with dots) goes as JSON text that our launcher puts back into the plugin's config file.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from orchestrator.drivers.meltano import ahead, notes
from orchestrator.drivers.meltano.directory import RunDirectory
from orchestrator.drivers.meltano.errors import RunStorageError, SettingError, ValueTooLargeError
from orchestrator.drivers.meltano.values import TOKEN_SOCKET, Limits, Marker, Plugin, Project, Side, has, reveal

ENVIRONMENT: Final = "run"
BATCHES: Final = "batches"  # folder of the run's directory; who writes batch files bounds how many lie there
VALUE_LIMIT: Final = 128 * 1024  # bytes of NAME=value with its NUL; source: execve(2), MAX_ARG_STRLEN
TOTAL_LIMIT: Final = 1024 * 1024  # all values; Meltano hands each to the plugin twice, Linux allows 2 MiB at least

_PLUGIN_NAME = re.compile(r"(tap|target)(-[a-z0-9]+)*")
_SETTING_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*([_-][A-Za-z0-9]+)*_?")
_STATE_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_SECOND_PREFIX = "MELTANO_EXTRACT"  # under which Meltano hands the same value on once more
_KEPT_BY_PLUGINS = (
    "PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "TZ", "NO_COLOR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME",
    "SINGER_SDK_LOG_CONFIG", "LOGGING_CONF_FILE",  # Meltano's way to have plugins log what it can read
)  # fmt: skip
INHERITED: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One value on its way: Meltano's kind for it, the text of its variable, and whether the launcher decodes it."""

    kind: str
    text: str
    decode: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A project as files and variables. variables: the plugins' settings only, values in clear."""

    files: Mapping[str, str]
    variables: Mapping[str, str]


def setting(value: Any) -> Setting | None:
    """How a value travels; None where it is null, which Singer knows as absent."""
    if value is None:
        return None
    if isinstance(value, str) and _fits_environment(value):
        return Setting(kind="string", text=value)
    if isinstance(value, bool):
        return Setting(kind="boolean", text="true" if value else "false")
    if isinstance(value, int):
        return Setting(kind="integer", text=str(value))
    text = json.dumps(value)
    if isinstance(value, list | dict) and _keeps_its_keys(value):
        return Setting(kind="array" if isinstance(value, list) else "object", text=text)
    return Setting(kind="string", text=text, decode=True)


def _fits_environment(value: str) -> bool:
    """Whether it is UTF-8 without NUL; a lone surrogate is not."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in value


def _keeps_its_keys(value: Any) -> bool:
    """Whether Meltano leaves it alone: it splits keys at dots, in objects at any depth."""
    if isinstance(value, dict):
        return all("." not in key and "\\" not in key and _keeps_its_keys(item) for key, item in value.items())
    return True


def variable(plugin: str, name: str) -> str:
    """Meltano's environment variable for a setting; always begins with TAP or TARGET."""
    return re.sub(r"[^A-Za-z0-9]", "_", f"{plugin}_{name}").upper()


def _settings(plugin: Plugin, markers: Mapping[Marker, str]) -> Iterator[tuple[str, Setting]]:
    for name, value in plugin.config.items():
        if not _SETTING_NAME.fullmatch(name):
            raise SettingError(
                f"{name!r} cannot be the name of a setting.",
                hint="Letters, digits, single - and _ only, beginning with a letter.",
                problems=((name, "not a usable name"),),
            )
        found = setting(reveal(value, markers))
        if found is not None:
            yield name, found


def _definition(plugin: Plugin, settings: Mapping[str, Setting], program: Path) -> dict[str, Any]:
    return {
        "name": plugin.name,
        "namespace": plugin.name.replace("-", "_"),
        "executable": str(program),
        "capabilities": list(plugin.capabilities),
        "settings": [{"name": name, "kind": found.kind} for name, found in settings.items()],
    }


def _variables(plugin: Plugin, settings: Mapping[str, Setting]) -> Iterator[tuple[str, str]]:
    for name, found in settings.items():
        size = len(json.dumps(found.text)) if found.kind in {"array", "object"} else len(found.text.encode())
        size += max(len(plugin.name), len(_SECOND_PREFIX)) + len(f"_{name}=\0")
        if size > VALUE_LIMIT:
            raise ValueTooLargeError(name, size, VALUE_LIMIT)
        yield variable(plugin.name, name), found.text


def _launch(
    plugin: Plugin,
    settings: Mapping[str, Setting],
    inherited: Mapping[str, str],
    limits: Limits,
    readable: Sequence[Path],
) -> str:
    said = [
        ("executable", str(plugin.executable)),
        *(("pass", name) for name in (*_KEPT_BY_PLUGINS, *inherited)),
        *(("set", f"{name}={value}") for name, value in plugin.environment.items()),
        *(("decode", name) for name, found in settings.items() if found.decode),
        *(("limit", f"{name}={value}") for name, value in (("CORE", 0), ("NOFILE", limits.files))),
        *(("readable", str(path)) for path in (*inherited.values(), *readable)),
        *(("writable", str(path)) for path in (BATCHES, *plugin.writable)),
        *([("sockets", "unix")] if plugin.sockets or has(plugin.config, TOKEN_SOCKET) else []),
    ]
    return "".join(f"{name}\0{value}\0" for name, value in said)


def render(
    project: Project,
    *,
    programs: Mapping[Side, Path],
    markers: Mapping[Marker, str],
    inherited: Mapping[str, str],
    limits: Limits,
    readable: Sequence[Path] = (),
) -> Rendered:
    """Turn a project into the files of its directory and the variables of its settings.

    programs:  the launcher's program per side
    readable:  files and folders that both plugins may read besides what they need
    Raises SettingError where a name is unusable or two settings need the same variable, ValueTooLargeError.
    """
    if not _STATE_ID.fullmatch(project.state_id):
        raise SettingError(f"{project.state_id!r} cannot be a state id.", hint="Letters, digits, - and _ only.")
    definitions: dict[str, list[dict[str, Any]]] = {}
    files: dict[str, str] = {}
    variables: dict[str, str] = {}
    for plugin in project.plugins:
        if not _PLUGIN_NAME.fullmatch(plugin.name):
            raise SettingError(f"{plugin.name!r} cannot be the name of a plugin.", hint="tap-… or target-….")
        settings = dict(_settings(plugin, markers))
        definition = _definition(plugin, settings, programs[plugin.side])
        if plugin.side is Side.EXTRACTOR and project.catalog is not None:
            definition["catalog"] = "catalog.json"
        definitions[f"{plugin.side}s"] = [definition]
        files[f"launch/{plugin.side}"] = _launch(plugin, settings, inherited, limits, readable)
        for name, text in _variables(plugin, settings):
            if name in variables:
                raise SettingError(f"Two settings need the same variable {name}.", hint="Rename one of them.")
            variables[name] = text
    _check_total(variables)
    files["meltano.yml"] = _yaml(definitions)
    return Rendered(files={**files, **_documents(project)}, variables=variables)


def _documents(project: Project) -> dict[str, str]:
    catalog = {} if project.catalog is None else {"catalog.json": json.dumps(project.catalog)}
    noted = {} if project.notes is None else {str(notes.file(Path())): project.notes}
    return {**catalog, **noted}


def _check_total(variables: Mapping[str, str]) -> None:
    total = sum(len(name) + len(text.encode()) for name, text in variables.items())
    if total > TOTAL_LIMIT:
        raise ValueTooLargeError("All settings together", total, TOTAL_LIMIT)


def _yaml(definitions: Mapping[str, Any]) -> str:
    import yaml

    document = {
        "default_environment": ENVIRONMENT,
        "send_anonymous_usage_stats": False,
        "project_id": "orchestrator",
        "environments": [{"name": ENVIRONMENT}],
        "plugins": dict(definitions),
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def write(rendered: Rendered, directory: RunDirectory, project: Project) -> None:
    """Put the files into the run's directory, readable by nobody else, and make the folders that plugins write to.

    Raises RunStorageError: no space left, or a folder of the project's can't be made.
    """
    for folder in (folder for plugin in project.plugins for folder in plugin.writable):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise RunStorageError(
                f"The folder {folder} could not be made: {error.strerror}.",
                hint="Check who may write there.",
                path=str(folder),
            ) from error
    try:
        for place in ("", *Side):  # Meltano's own, and one of each plugin's
            for name in ("home", "tmp"):
                (directory.path / place / name).mkdir(mode=0o700, parents=True)
        for name in ("launch", BATCHES):
            (directory.path / name).mkdir(mode=0o700)
        for name, text in rendered.files.items():
            path = directory.path / name
            path.touch(mode=0o600)
            path.write_bytes(text.encode(errors="surrogateescape"))  # names of files may be no UTF-8
    except OSError as error:
        raise RunStorageError(
            f"The run's files could not be written: {error.strerror}.",
            hint="Free some space there, or set ORCHESTRATOR_RUNS__DIRECTORY.",
            path=str(directory.path),
        ) from error


def discard_log(project: Project, directory: RunDirectory, run_id: UUID) -> None:
    """Send Meltano's own copy of every line to nowhere: it is not redacted, and it would fill memory in a long run.

    source: meltano/core/logging/job_logging_service.py; file names lose the ":" of the state id
    """
    assert project.loader is not None  # noqa: S101 - only runs have a log
    name = f"{ENVIRONMENT}{project.extractor.name}-to-{project.loader.name}{project.state_id}"
    folder = directory.path / "state/meltano/log/elt" / name / str(run_id)
    folder.mkdir(parents=True)
    (folder / "elt.log").symlink_to(os.devnull)


def process_environment(
    rendered: Rendered, directory: RunDirectory, *, state_uri: str | None, inherited: Mapping[str, str]
) -> dict[str, str]:
    """The whole environment of Meltano: an allow-list, with nothing of ours but what is named here."""
    root = directory.path
    fixed = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(root / "home"),
        "TMPDIR": str(root / "tmp"),
        "XDG_STATE_HOME": str(root / "state"),
        **ahead.ENVIRONMENT,
        "MELTANO_PROJECT_ROOT": str(root),
        "MELTANO_CLI_LOG_FORMAT": "json",
        "MELTANO_CLI_DISABLE_VERSION_CHECK": "true",
        "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "false",
        "MELTANO_AUTO_INSTALL": "false",
        **({"MELTANO_STATE_BACKEND_URI": state_uri} if state_uri else {}),
    }
    return {**inherited, **rendered.variables, **fixed}
