r"""A project for Meltano alone: written once, for people who go on without us.

Unlike a run's project it holds its values in meltano.yml, a `$` in them escaped, since Meltano expands `$NAME`.
Secrets are names of variables that Meltano reads from `.env`. Our own plugins come along as source.
source: meltano/core/utils, expand_env_vars (`\$` stays a dollar sign)
"""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from orchestrator.drivers.meltano.errors import RunStorageError
from orchestrator.drivers.meltano.project import setting, variable
from orchestrator.drivers.plugin_store import Recipe, source_files
from orchestrator.kernel.environment import project_root

ENVIRONMENT: Final = "prod"
BATCHES: Final = "file://\ue000MELTANO_PROJECT_ROOT\ue001/batches"  # where the plugins hand batch files over
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL  # over no file and through no link that somebody puts there meanwhile
_HIDDEN = re.compile("\ue000([A-Z0-9_]+)\ue001")  # characters for private use: in no setting
_EXPANDED = re.compile(r"\$(?=\{\w+\}|[A-Z])")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainPlugin:
    """A plugin and its settings; what `hidden` gave stands for secrets in them."""

    recipe: Recipe
    config: Mapping[str, Any]


def hidden(plugin: str, name: str) -> str:
    """What stands in a setting for a secret: the variable that Meltano takes it from."""
    return f"\ue000{variable(plugin, name)}\ue001"


def is_free(folder: Path) -> bool:
    """Whether a project could go there: it is new, or empty. Raises RunStorageError: that can't be told."""
    try:
        return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    except OSError as error:
        raise _unusable(folder, error) from error


def write(
    folder: Path,
    plugins: Sequence[PlainPlugin],
    *,
    title: str,
    catalog: Mapping[str, Any],
    state: Mapping[str, Any] | None,
) -> tuple[str, ...]:
    """Make the folder and all that is in it; the variables that are to be filled in.

    plugins: the extractor, then the loader
    state:   Singer's, where there is something to go on from
    Raises RunStorageError: it can't be written there.
    """
    variables = sorted({name for one in plugins for name in _variables(one.config)} - {"MELTANO_PROJECT_ROOT"})
    files = {
        "meltano.yml": _yaml(plugins).encode(),
        "catalog.json": json.dumps(catalog, indent=1, ensure_ascii=False).encode(),
        ".env": "".join(f"{name}=\n" for name in variables).encode(),
        ".gitignore": b".env\n.meltano/\nbatches/*.gz\n",
        "batches/.gitkeep": b"",
        "README.md": _readme(title, plugins, variables, with_state=state is not None).encode(),
        **({} if state is None else {"state.json": json.dumps({"singer_state": state}, indent=1).encode()}),
        **{name: text for one in plugins for name, text in _source(one.recipe)},
    }
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            number = os.open(path, _NEW, 0o600 if name == ".env" else 0o644)
            with os.fdopen(number, "wb") as file:
                file.write(content)
    except OSError as error:
        raise _unusable(folder, error) from error
    return tuple(variables)


def _unusable(folder: Path, error: OSError) -> RunStorageError:
    said = f"{folder} could not be written: {error.strerror}."
    return RunStorageError(said, hint="Name another folder.", path=str(folder))


def _variables(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from _HIDDEN.findall(value)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _variables(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _variables(item)


def _escaped(value: Any) -> Any:
    """The value as meltano.yml has it."""
    if isinstance(value, str):
        return _HIDDEN.sub(r"${\1}", _EXPANDED.sub(r"\\$", value))
    if isinstance(value, Mapping):
        return {name: _escaped(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_escaped(item) for item in value]
    return value


def _yaml(plugins: Sequence[PlainPlugin]) -> str:
    import yaml

    sections: dict[str, list[dict[str, Any]]] = {}
    for one in plugins:
        given = {name: value for name, value in one.config.items() if value is not None}
        kinds = {name: made.kind for name, value in given.items() if (made := setting(value)) and not made.decode}
        definition = {
            "name": one.recipe.name,
            "namespace": one.recipe.name.replace("-", "_"),
            "pip_url": one.recipe.pip_url.replace("-e ", "./"),
            "executable": one.recipe.program,
            "capabilities": list(one.recipe.capabilities),
            "settings": [{"name": name, **({"kind": kinds[name]} if name in kinds else {})} for name in given],
            "config": {name: _escaped(value) for name, value in given.items()},
        }
        if one.recipe.kind == "extractors":
            definition["catalog"] = "catalog.json"
        sections[one.recipe.kind] = [definition]
    document = {
        "default_environment": ENVIRONMENT,
        "send_anonymous_usage_stats": False,
        "environments": [{"name": ENVIRONMENT}],
        "plugins": sections,
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def _source(recipe: Recipe) -> Iterator[tuple[str, bytes]]:
    if recipe.source is None:
        return
    place = recipe.source.relative_to(project_root())
    for name, content in source_files(recipe.source):
        yield f"{place}/{name.decode()}", content
    readme = recipe.source / "README.md"
    if readme.is_file():  # pyproject.toml may name it
        yield f"{place}/README.md", readme.read_bytes()


def _readme(title: str, plugins: Sequence[PlainPlugin], variables: Sequence[str], *, with_state: bool) -> str:
    tap, target = (one.recipe.name for one in plugins)
    state = f"meltano state set --force {ENVIRONMENT}:{tap}-to-{target} --input-file state.json\n" if with_state else ""
    fill = f"Fill in `.env` first: {', '.join(variables)}.\n\n" if variables else ""
    return f"""# {title}

A project for [Meltano](https://meltano.com) alone, as Orchestrator exported it: the same plugins, settings and selected
streams{", and where every stream stood" if with_state else ""}. It needs nothing else.

{fill}```
pip install meltano=={version("meltano")}
meltano install
{state}meltano run {tap} {target}
```
"""
