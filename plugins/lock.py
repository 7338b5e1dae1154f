# ruff: noqa: INP001 - a program, not a package
"""Renew what plugins/ holds: hashed requirements and Meltano lock files. Run by `make lock`.

A lock file's settings come from the plugin itself (`--about --format=json`); a plugin that cannot describe itself
(DESCRIBED_HERE) keeps the settings its lock file has.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from uv import find_uv_bin

from orchestrator.drivers.plugin_store import PluginStore, recipe

ROOT: Final = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One plugin we offer. source: requirement of a published one, or folder of our own below the root."""

    kind: str
    name: str
    variant: str
    label: str
    source: str
    repo: str
    describes_itself: bool = True
    capabilities: tuple[str, ...] = ()


ENTRIES: Final = (
    Entry(
        kind="extractors",
        name="tap-salesforce",
        variant="orchestrator",
        label="Salesforce",
        source="taps/tap-salesforce",
        repo="taps/tap-salesforce",
    ),
    Entry(
        kind="extractors",
        name="tap-salesforce",
        variant="singer-io",
        label="Salesforce (Singer community)",
        source="tap-salesforce==2.8.1",
        repo="https://github.com/singer-io/tap-salesforce",
        describes_itself=False,
        capabilities=("catalog", "discover", "state", "properties"),
    ),
    Entry(
        kind="extractors",
        name="tap-github",
        variant="meltanolabs",
        label="GitHub",
        source="meltanolabs-tap-github",
        repo="https://github.com/MeltanoLabs/tap-github",
    ),
    Entry(
        kind="extractors",
        name="tap-postgres",
        variant="meltanolabs",
        label="PostgreSQL",
        source="meltanolabs-tap-postgres",
        repo="https://github.com/MeltanoLabs/tap-postgres",
    ),
    Entry(
        kind="loaders",
        name="target-postgres-copy",
        variant="orchestrator",
        label="PostgreSQL (COPY)",
        source="targets/target-postgres-copy",
        repo="targets/target-postgres-copy",
    ),
    Entry(
        kind="loaders",
        name="target-postgres",
        variant="meltanolabs",
        label="PostgreSQL",
        source="meltanolabs-target-postgres==0.8.1",
        repo="https://github.com/MeltanoLabs/target-postgres",
    ),
    Entry(
        kind="loaders",
        name="target-jsonl",
        variant="orchestrator",
        label="JSON Lines files",
        source="targets/target-jsonl",
        repo="targets/target-jsonl",
    ),
    Entry(
        kind="loaders",
        name="target-duckdb",
        variant="orchestrator",
        label="DuckDB and Parquet files",
        source="targets/target-duckdb",
        repo="targets/target-duckdb",
    ),
)


def main() -> None:
    """Renew the requirements of every plugin (or of those named), then their lock files."""
    wanted = set(sys.argv[1:])
    with tempfile.TemporaryDirectory() as home:
        store = PluginStore(Path(home), environ=os.environ)  # noqa: TID251 - a program of its own
        for entry in ENTRIES:
            if wanted and entry.name not in wanted:
                continue
            sys.stderr.write(f"{entry.name} ({entry.variant})\n")
            stem = ROOT / "plugins" / entry.kind / f"{entry.name}--{entry.variant}"
            _compile(entry, stem.with_name(f"{stem.name}.requirements.txt"))
            _write(entry, stem.with_name(f"{stem.name}.lock"), store)


def _compile(entry: Entry, path: Path) -> None:
    folder = ROOT / entry.source
    if folder.is_dir():
        inputs, text = [str(folder / "pyproject.toml")], ""
    else:
        inputs, text = ["-"], entry.source
    options = ("--universal", "--python-version", "3.11", "--generate-hashes", "--no-header", "--no-annotate")
    command = (find_uv_bin(), "pip", "compile", "--quiet", *options, "--output-file", str(path), *inputs)
    subprocess.run(command, input=text, text=True, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


def _write(entry: Entry, path: Path, store: PluginStore) -> None:
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    lock: dict[str, Any] = {
        "plugin_type": entry.kind,
        "name": entry.name,
        "namespace": entry.name.replace("-", "_"),
        "variant": entry.variant,
        "label": entry.label,
        "repo": entry.repo,
        "pip_url": _pip_url(entry, path.with_suffix(".requirements.txt")),
        "executable": entry.name,
        "capabilities": list(entry.capabilities),
        "settings": kept.get("settings", []),
        "settings_group_validation": kept.get("settings_group_validation", []),
    }
    _dump(path, lock)
    if entry.describes_itself:
        program = store.program(recipe(ROOT, entry.kind, entry.name, entry.variant))  # type: ignore[arg-type] # the table has both kinds
        about = json.loads(
            subprocess.run((program, "--about", "--format=json"), capture_output=True, check=True).stdout
        )
        lock["capabilities"] = sorted(about["capabilities"])
        lock["settings"] = _settings(about["settings"])
        lock["settings_group_validation"] = [about["settings"].get("required", [])]
        _dump(path, lock)


def _pip_url(entry: Entry, requirements: Path) -> str:
    """What plain Meltano would install: our own from its folder, a published one in the version we pinned."""
    if (ROOT / entry.source).is_dir():
        return f"-e {entry.source}"
    name = entry.source.partition("==")[0]
    lines = requirements.read_text(encoding="utf-8").splitlines()
    return next(line.split()[0] for line in lines if line.startswith(f"{name}=="))


def _dump(path: Path, lock: dict[str, Any]) -> None:
    path.write_text(json.dumps(lock, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _settings(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [_setting(name, field) for name, field in schema["properties"].items()]


def _setting(name: str, field: dict[str, Any]) -> dict[str, Any]:
    setting: dict[str, Any] = {"name": name, "kind": _kind(field)}
    if field.get("title"):
        setting["label"] = field["title"]
    if field.get("description"):
        setting["description"] = " ".join(field["description"].split())
    if field.get("secret") or field.get("writeOnly") or field.get("format") == "password":
        setting["sensitive"] = True
    if field.get("default") is not None:
        setting["value"] = field["default"]
    return setting


def _kind(field: dict[str, Any]) -> str:
    types = field.get("type", "string")
    first = next((kind for kind in ([types] if isinstance(types, str) else types) if kind != "null"), "string")
    if first == "string" and field.get("format") in {"date-time", "date"}:
        return "date_iso8601"
    return {"number": "decimal"}.get(first, first)


if __name__ == "__main__":
    main()
