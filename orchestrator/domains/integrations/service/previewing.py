"""What a run would be given, for people to read: nobody signs in, nothing is started, no secret is opened."""

from typing import TYPE_CHECKING

from pydantic import SecretStr

from orchestrator.domains.catalog import rules as forms
from orchestrator.domains.catalog.service import installed as catalog
from orchestrator.domains.catalog.types import Session
from orchestrator.domains.integrations import queries, rules
from orchestrator.domains.integrations.service.destinations import DESTINATIONS
from orchestrator.domains.integrations.service.opening import plugin
from orchestrator.domains.integrations.service.planning import loading
from orchestrator.domains.integrations.types import Integration
from orchestrator.domains.oauth import service as credentials
from orchestrator.domains.vault import service as vault
from orchestrator.domains.vault.types import Owner
from orchestrator.drivers.bundle import Drivers
from orchestrator.drivers.meltano.values import BATCH_FOLDER, TOKEN_SOCKET, Project

if TYPE_CHECKING:
    from orchestrator.drivers.meltano.runner import Preview

_MASK = "***"  # survives JSON as it is


def handover(drivers: Drivers, integration: Integration) -> str | None:
    """The encoding of the BATCH messages that a sync would use; None: RECORD messages."""
    with drivers.db.transaction(integration.org_id) as tx:
        destination = queries.destination(tx, integration.destination_id)
    return forms.encoding(forms.variant_of(catalog().get(integration.type), integration.variant), loading(destination))


def preview(drivers: Drivers, integration: Integration) -> "Preview":
    """The meltano.yml, the environment with its secrets masked, and the catalog of the selected streams.

    Needs no master key: where a secret is set stands a mask, and the masks are what is rendered.
    """
    with drivers.db.transaction(integration.org_id) as tx:
        destination = queries.destination(tx, integration.destination_id)
        chosen = [stream for stream in queries.streams(tx, integration.id) if stream.selected and not stream.gone_at]
        source_secrets = vault.describe(tx, integration.org_id, credentials.owner(integration.credential_id))
        loader_secrets = vault.describe(tx, integration.org_id, Owner(table=DESTINATIONS, row_id=destination.id))
    source, target = catalog().get(integration.type), catalog().get(destination.type)
    variant, loads = forms.variant_of(source, integration.variant), loading(destination)
    given, taken = forms.agreed_settings(variant, loads, folder=BATCH_FOLDER)
    operator = {
        "allow_private": drivers.settings.network.allow_private,
        "exports": str(drivers.settings.home / "exports" / integration.org_id),
        "schema": integration.target_schema,
        "warehouse_url": _MASK,
    }
    found = forms.plugin_settings(
        source,
        variant,
        integration.config,
        {name: SecretStr(_MASK) for name in forms.secret_names(source, integration.config) if name in source_secrets},
        session=Session(access_token=SecretStr(_MASK), instance_url=_MASK) if variant.uses_session else None,
        operator=operator,
    )
    settings = {**found.values, **given}
    if variant.session_setting is not None:
        settings[variant.session_setting]["token_socket"] = TOKEN_SOCKET
    loaded = forms.plugin_settings(
        target, loads, destination.config, dict.fromkeys(loader_secrets, SecretStr(_MASK)), operator=operator
    )
    project = Project(
        extractor=plugin(drivers, variant, settings, build=False),
        loader=plugin(drivers, loads, {**loaded.values, **taken}, build=False),
        catalog=rules.run_catalog(chosen) if chosen else None,
        state_id=integration.id,
    )
    return drivers.meltano.preview(project)
