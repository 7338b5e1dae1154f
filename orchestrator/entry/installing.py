"""Bringing an installation into being: home, key, schema, organization, catalog. Safe to repeat at any time."""

from dataclasses import dataclass

from orchestrator.domains.catalog import service as catalog
from orchestrator.domains.identity import service as identity
from orchestrator.domains.identity.types import Place
from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.vault import service as vault
from orchestrator.drivers import keys
from orchestrator.drivers.bundle import Drivers
from orchestrator.drivers.home import make_private
from orchestrator.drivers.plugin_store import recipes
from orchestrator.kernel.environment import project_root
from orchestrator.migrations import runner


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """What `install` found and made."""

    place: Place
    key_made: bool
    revision_before: str | None
    revision: str


def install(drivers: Drivers) -> Installed:
    """Make what is missing and leave what is there: a second call changes nothing.

    Plugin environments that nobody needs any more are removed.

    The key file is made only where no secret was ever encrypted here, so that a lost key is never papered over.
    """
    make_private(drivers.settings.home)
    before, now = runner.migrate(drivers.unchecked_db.pool)
    drivers.plugins.collect(recipes(project_root()))
    place = identity.ensure(drivers.db, drivers.settings.organization)
    with drivers.db.transaction(place.org_id) as tx:
        integrations.ensure_warehouse(tx, place.org_id)
        catalog.sync_providers(tx, catalog.installed())
        nothing_encrypted = not vault.status(tx, place.org_id)
    key_made = nothing_encrypted and not drivers.keys
    if key_made:
        keys.create_key_file(drivers.settings.key_file)
        drivers.keys.reload()
    return Installed(place=place, key_made=key_made, revision_before=before, revision=now)
