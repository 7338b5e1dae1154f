"""The way out: the exported project goes on under Meltano alone, from where the last sync stopped."""

import subprocess
import sys
from pathlib import Path

import yaml

from orchestrator.domains.integrations.types import Integration
from orchestrator.drivers.plugin_store import recipe
from orchestrator.kernel.environment import project_root
from sandboxes.salesforce import LocalOrg
from tests.e2e.comparing import difference
from tests.e2e.conftest import values_of
from tests.e2e.installation import Installation


def _use_what_is_built(folder: Path, installation: Installation) -> None:
    """In place of `meltano install`: the environments that are there, of the same plugins."""
    document = yaml.safe_load((folder / "meltano.yml").read_text())
    with installation.drivers() as drivers:
        for kind, name in (("extractors", "tap-salesforce"), ("loaders", "target-postgres-copy")):
            [plugin] = document["plugins"][kind]
            assert (folder / plugin.pop("pip_url") / "pyproject.toml").is_file()
            plugin["executable"] = str(drivers.plugins.program(recipe(project_root(), kind, name, "orchestrator")))
    (folder / "meltano.yml").write_text(yaml.safe_dump(document, sort_keys=False))


def _meltano(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("meltano")), *arguments],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "NO_COLOR": "1", "LANG": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def test_an_exported_project_goes_on_without_us(
    installation: Installation, like: Integration, org: LocalOrg, tmp_path: Path
) -> None:
    config = values_of(org, lookback_minutes=0)
    leaving = installation.add("leaving", config, ["Account"], like=like)
    assert installation.run("sync", leaving.id).code == 0
    org.churn("Account", update=20, delete=7, insert=3)
    folder = tmp_path / "project"
    done = installation.run("export", leaving.id, str(folder), "--json")
    assert done.code == 0, done.err
    with installation.drivers() as drivers:
        warehouse = drivers.warehouse_url
    values = {
        "TAP_SALESFORCE_AUTH_CLIENT_SECRET": config["auth"]["client_secret"],
        "TAP_SALESFORCE_AUTH_REFRESH_TOKEN": config["auth"]["refresh_token"],
        "TARGET_POSTGRES_COPY_URL": warehouse.get_secret_value(),
    }
    assert sorted(done.json["variables"]) == sorted(values)
    whole = "".join(path.read_text() for path in folder.rglob("*") if path.is_file())
    assert not [name for name, value in values.items() if value in whole], "no secret leaves with it"
    assert installation.run("export", leaving.id, str(folder)).code == 5, "nothing is written over"
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    _use_what_is_built(folder, installation)
    state_id = "prod:tap-salesforce-to-target-postgres-copy"
    _meltano(folder, "state", "set", "--force", state_id, "--input-file", "state.json")
    said = _meltano(folder, "run", "tap-salesforce", "target-postgres-copy")
    assert "metric_value=30" in said, "what changed, and no more"
    assert not difference(org, warehouse, leaving.target_schema, "Account")
