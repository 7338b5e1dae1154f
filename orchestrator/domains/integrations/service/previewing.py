"""What a run would be given, for people to read or to take with them: nobody signs in, no secret is opened."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from orchestrator.domains.catalog import rules as forms
from orchestrator.domains.catalog.service import installed as catalog
from orchestrator.domains.catalog.types import FilledBy, Session, Variant
from orchestrator.domains.integrations import queries, rules
from orchestrator.domains.integrations.service.destinations import DESTINATIONS
from orchestrator.domains.integrations.service.opening import plugin, recipe_of
from orchestrator.domains.integrations.service.planning import loading, to_read
from orchestrator.domains.integrations.types import Integration
from orchestrator.domains.oauth import service as credentials
from orchestrator.domains.vault import service as vault
from orchestrator.domains.vault.types import Owner
from orchestrator.drivers.bundle import Drivers
from orchestrator.drivers.meltano.plain import PlainPlugin
from orchestrator.drivers.meltano.values import BATCH_FOLDER, NOTES_FILE, TOKEN_SOCKET, Project

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
        chosen = [stream for stream in queries.streams(tx, integration.id) if stream.selected and not stream.gone_at]
    source, loads = _configured(drivers, integration, folder=BATCH_FOLDER, hidden=lambda _plugin, _name: _MASK)
    if source.variant.session_setting is not None:
        source.values[source.variant.session_setting]["token_socket"] = TOKEN_SOCKET
    loads.values.update(forms.continued_settings(loads.variant, [], notes=NOTES_FILE))
    loads.values.update(forms.claim_settings(loads.variant, integration.id))
    project = Project(
        extractor=plugin(drivers, source.variant, source.values, build=False),
        loader=plugin(drivers, loads.variant, loads.values, build=False),
        catalog=rules.run_catalog(chosen) if chosen else None,
        state_id=integration.id,
    )
    return drivers.meltano.preview(project)


def plain_plugins(
    drivers: Drivers, integration: Integration, *, folder: str, hidden: Callable[[str, str], str]
) -> tuple[PlainPlugin, PlainPlugin, dict[str, Any]]:
    """Source and destination as Meltano starts them without us, the source signing in by itself; and the catalog.

    folder:  where batch files are handed over, as a file:// URL
    hidden:  what stands for a secret, by plugin and by its name in the form
    Raises what `to_read` raises.
    """
    chosen = to_read(drivers, integration)
    source, loads = _configured(drivers, integration, folder=folder, hidden=hidden, signs_in=True)
    made = [PlainPlugin(recipe=recipe_of(one.variant), config=one.values) for one in (source, loads)]
    return made[0], made[1], rules.run_catalog(chosen)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Configured:
    """A plugin with its settings, something else in place of its secrets."""

    variant: Variant
    values: dict[str, Any]


def _configured(
    drivers: Drivers,
    integration: Integration,
    *,
    folder: Any,
    hidden: Callable[[str, str], str],
    signs_in: bool = False,
) -> tuple[_Configured, _Configured]:
    """Source and destination. signs_in: the source gets the fields to sign in with instead of our session."""
    with drivers.db.transaction(integration.org_id) as tx:
        destination = queries.destination(tx, integration.destination_id)
        source_secrets = vault.describe(tx, integration.org_id, credentials.owner(integration.credential_id))
        loader_secrets = vault.describe(tx, integration.org_id, Owner(table=DESTINATIONS, row_id=destination.id))
    source, target = catalog().get(integration.type), catalog().get(destination.type)
    variant, loads = forms.variant_of(source, integration.variant), loading(destination)
    given, taken = forms.agreed_settings(variant, loads, folder=folder)
    operator = {
        "allow_private": drivers.settings.network.allow_private,
        "exports": str(drivers.settings.home / "exports" / integration.org_id),
        "schema": integration.target_schema,
        "warehouse_url": hidden(loads.plugin, "url"),
    }
    names = [name for name in forms.secret_names(source, integration.config) if name in source_secrets]
    secrets = {name: SecretStr(hidden(variant.plugin, name)) for name in names}
    session = SecretStr(hidden(variant.plugin, "session"))
    found = forms.plugin_settings(
        source,
        variant,
        integration.config,
        secrets,
        session=Session(access_token=session, instance_url=session.get_secret_value())
        if variant.uses_session
        else None,
        operator=operator,
    )
    loaded = forms.plugin_settings(
        target,
        loads,
        destination.config,
        {name: SecretStr(hidden(loads.plugin, name)) for name in loader_secrets},
        operator=operator,
    )
    values = {**found.values, **given}
    if signs_in and variant.session_setting is not None:
        app = {
            field.name: SecretStr(hidden(variant.plugin, field.name))
            for field in forms.fields(source, integration.config, variant=variant.name)
            if field.filled_by is FilledBy.OAUTH_APP and field.path[-1] not in integration.config["auth"]
        }
        values[variant.session_setting] = _sign_in(forms.join(integration.config, {**app, **secrets}))
    return (
        _Configured(variant=variant, values=values),
        _Configured(variant=loads, values={**loaded.values, **taken}),
    )


def _sign_in(answers: Mapping[str, Any]) -> dict[str, Any]:
    """How one of our own taps signs in by itself: its setting has the form's names."""
    return {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in answers["auth"].items()
    }
