"""An integration with its secrets opened: its plugin configured, and its sign-in kept fresh."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import SecretStr

from orchestrator.domains.catalog import rules as forms
from orchestrator.domains.catalog.service import installed as catalog
from orchestrator.domains.catalog.types import Connector, PluginSettings, PluginType, Session, Variant
from orchestrator.domains.integrations.types import Integration
from orchestrator.domains.oauth import service as credentials
from orchestrator.domains.oauth.types import GrantKind, TokenGrant
from orchestrator.domains.vault import service as vault
from orchestrator.drivers.bundle import Drivers
from orchestrator.drivers.meltano.values import TOKEN_SOCKET, Plugin, Side
from orchestrator.drivers.plugin_store import Kind, Recipe, recipe
from orchestrator.kernel.environment import project_root

METRICS_EVERY = "1"  # seconds; people watch these numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An integration ready to be used by a plugin or a check; lives in memory for one run."""

    drivers: Drivers = field(repr=False)
    integration: Integration
    connector: Connector
    variant: Variant
    secrets: Mapping[str, SecretStr] = field(repr=False)
    grant: TokenGrant | None = field(repr=False)

    @property
    def signs_in(self) -> bool:
        """Whether we keep the session for its plugin."""
        return self.variant.uses_session

    def session(self, *, rejected_sha256: str | None = None, try_again: bool = False) -> Session:
        """A session with life left in it; renewed, stored and only then given out.

        rejected_sha256:  of an access token the provider just refused
        try_again:        ask even where the provider has refused before; a person may have changed something there
        """
        if self.grant is None:
            raise LookupError(f"{self.connector.name} has no sign-in that we keep")
        found = credentials.fresh(
            self.drivers.db,
            self.drivers.keys,
            self.drivers.http,
            self.integration.org_id,
            self.integration.credential_id,
            self.grant,
            rejected_sha256=rejected_sha256,
            try_again=try_again,
        )
        return Session(access_token=found.access_token, instance_url=found.instance_url or "")

    def fresh_token(self) -> Callable[[str], dict[str, str]] | None:
        """What answers a plugin whose access token was refused; None where it signs in by itself."""
        if not self.signs_in:
            return None

        def fresh(rejected_sha256: str) -> dict[str, str]:
            session = self.session(rejected_sha256=rejected_sha256)
            return {"access_token": session.access_token.get_secret_value(), "instance_url": session.instance_url}

        return fresh

    def extractor(self, agreed: Mapping[str, Any] = MappingProxyType({})) -> Plugin:
        """The plugin with its settings; signs in first where that is ours to do.

        agreed:  further settings, which the destination's plugin knows of
        """
        session = self.session() if self.signs_in else None
        operator = {"allow_private": self.drivers.settings.network.allow_private}
        found = forms.plugin_settings(
            self.connector, self.variant, self.integration.config, self.secrets, session=session, operator=operator
        )
        dials = called(self.drivers, self.connector, self.variant, self.integration.config)
        if session is not None and session.instance_url:
            self.drivers.http.judge_host(*forms.host_and_port(session.instance_url))
        config = {**concealed(found), **agreed}
        if self.variant.session_setting is not None:
            config[self.variant.session_setting]["token_socket"] = TOKEN_SOCKET
        return plugin(self.drivers, self.variant, config, dials=dials)


def opened(drivers: Drivers, integration: Integration) -> Opened:
    """Open an integration's secrets. Raises what the vault raises where they don't open."""
    connector = catalog().get(integration.type)
    variant = forms.variant_of(connector, integration.variant)
    owner = credentials.owner(integration.credential_id)
    with drivers.db.transaction(integration.org_id) as tx:
        secrets = vault.open_all(tx, drivers.keys, integration.org_id, owner)
    wanted = set(forms.secret_names(connector, integration.config))
    form_secrets = {name: secret for name, secret in secrets.items() if name in wanted}
    return Opened(
        drivers=drivers,
        integration=integration,
        connector=connector,
        variant=variant,
        secrets=form_secrets,
        grant=_grant(connector, integration.config, form_secrets),
    )


def _grant(connector: Connector, config: Mapping[str, Any], secrets: Mapping[str, SecretStr]) -> TokenGrant | None:
    """How to ask for an access token, from the way of signing in that was chosen; None where there is none."""
    way = forms.sign_in(connector, config)
    if way is None or way.token is None:
        return None
    facts, plain = way.token, config["auth"]
    return TokenGrant(
        kind=GrantKind(facts.grant.value),
        url=forms.filled(facts.url, config),
        hosts=hosts(connector),
        client_id=plain.get("client_id"),
        client_secret=secrets.get("auth.client_secret"),
        refresh_token=secrets.get("auth.refresh_token"),
        rotates=facts.rotates,
        username=plain.get("username"),
        password=secrets.get("auth.password"),
        security_token=secrets.get("auth.security_token"),
        private_key=secrets.get("auth.private_key"),
        audience=forms.audience(facts, config),
        soap_url=forms.filled(facts.soap_url, config) if facts.soap_url else None,
        instance_from=facts.instance_url_from,
        lifetime=timedelta(seconds=facts.lifetime_s),
    )


def called(drivers: Drivers, connector: Connector, variant: Variant, config: Mapping[str, Any]) -> tuple[str, ...]:
    """The address of each host the plugin will connect to, judged now, before it starts.

    A plugin that takes the address from a variable is bound to it. Any other resolves the name once more: whoever
    answers for that name could answer differently then, so such connectors say in their file which hosts they call.
    Raises AddressNotAllowedError, UnreachableError.
    """
    return tuple(
        drivers.http.judge_host(host, port) for host, port in forms.dialled(connector, config, variant=variant.name)
    )


def hosts(connector: Connector) -> tuple[str, ...] | None:
    """The connector's hosts as the drivers take them: suffixes without the star."""
    return tuple(host.removeprefix("*.") for host in connector.hosts) or None


def concealed(found: PluginSettings) -> dict[str, Any]:
    """The settings with every secret as SecretStr, so that the driver keeps it out of all it says."""
    clear = {secret.get_secret_value() for secret in found.secrets}

    def walk(value: Any) -> Any:
        if isinstance(value, str) and value in clear:
            return SecretStr(value)
        if isinstance(value, Mapping):
            return {key: walk(item) for key, item in value.items()}
        return [walk(item) for item in value] if isinstance(value, list | tuple) else value

    return {key: walk(value) for key, value in found.values.items()}


def plugin(
    drivers: Drivers,
    variant: Variant,
    config: Mapping[str, Any],
    *,
    build: bool = True,
    dials: Sequence[str] = (),
    writable: Sequence[Path] = (),
    sockets: bool = False,
) -> Plugin:
    """A configured plugin, its environment built where it is missing; `build` False only says where it would be.

    dials:     the judged addresses of the hosts it connects to
    writable:  folders it writes to
    sockets:   whether it connects to a unix socket
    """
    found = recipe_of(variant)
    if build:
        executable = drivers.plugins.program(found)
    else:
        [there] = drivers.plugins.status([found])
        executable = there.path / "bin" / found.program
    bound = {variant.address_variable: dials[0]} if variant.address_variable and len(dials) == 1 else {}
    return Plugin(
        side=Side(variant.plugin_type.value),
        name=variant.plugin,
        executable=executable,
        config=config,
        capabilities=found.capabilities,
        environment={"SINGER_SDK_METRICS_LOG_INTERVAL": METRICS_EVERY, **bound},
        writable=tuple(writable),
        sockets=sockets,
    )


def recipe_of(variant: Variant) -> Recipe:
    """What the plugin's environment is made of."""
    name, _, publisher = variant.lock.partition("--")
    kind: Kind = "extractors" if variant.plugin_type is PluginType.EXTRACTOR else "loaders"
    return recipe(project_root(), kind, name, publisher)
