"""Where measuring happens: an installation of its own in a temporary home, and a local Salesforce org."""

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.lab import stopwatch
from orchestrator.domains.identity.types import Place
from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.types import Integration, NewIntegration
from orchestrator.drivers.bundle import Drivers
from orchestrator.drivers.plugin_store import recipes
from orchestrator.entry import installing
from orchestrator.kernel.environment import load, project_root
from sandboxes.salesforce import RemoteOrg

PLUGINS = ("tap-salesforce--orchestrator", "target-postgres-copy--orchestrator")
_DROPPED = ("PYTHONDONTWRITEBYTECODE", "ORCHESTRATOR_", "DATABASE_URL", "WAREHOUSE_URL", "INTEGRATION_ENCRYPTION_KEY")
PROGRAM = Path(sys.executable).with_name("orchestrator")


def environment(home: Path) -> dict[str, str]:
    """The variables of this shell, with an installation of its own instead of the person's.

    Bytecode is written and used, as everywhere but in a few build systems.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_DROPPED)}
    return {
        **inherited,
        "ORCHESTRATOR_HOME": str(home),
        "ORCHESTRATOR_ENV_FILE": os.devnull,
        "ORCHESTRATOR_NETWORK__ALLOW_PRIVATE": "true",
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """An installation ready to be measured: migrated, its plugins built, its embedded Postgres kept warm."""

    drivers: Drivers
    place: Place
    env: Mapping[str, str]

    def orchestrator(self, *arguments: str, watch: stopwatch.Watch | None = None) -> stopwatch.Took:
        """Run the console script to its end."""
        return stopwatch.run((PROGRAM, *arguments), env=self.env, watch=watch)

    def salesforce(self, org: RemoteOrg, *, name: str, streams: Sequence[str], **more: object) -> Integration:
        """An integration of the org, ready to sync; `more` are fields of the connector's form."""
        values: dict[str, Any] = {
            "auth": {
                "auth_type": "oauth_refresh",
                "client_id": org.app["client_id"],
                "client_secret": org.app["client_secret"],
                "refresh_token": org.app["refresh_token"],
            },
            "domain": org.url,
            "start_date": "2000-01-01",
            "streams": list(streams),
            **more,
        }
        new = NewIntegration(type="salesforce", name=name, values=values)
        return integrations.set_up(self.drivers, self.place, new, streams=streams).or_raise()


@contextmanager
def stage(home: Path | None = None) -> Iterator[Stage]:
    """An installation in a temporary folder, gone afterwards.

    home:  one to use and keep instead
    """
    if home is None:
        with tempfile.TemporaryDirectory(prefix="orchestrator-bench-") as folder, stage(Path(folder)) as temporary:
            yield temporary
        return
    env = environment(home)
    drivers = Drivers(settings=load(env))
    try:
        place = installing.install(drivers).place
        for recipe in recipes(project_root()):
            if recipe.label in PLUGINS:
                drivers.plugins.ensure(recipe)
        yield Stage(drivers=drivers, place=place, env=env)
    finally:
        drivers.close()
        drivers.postgres.stop_if_unused()
