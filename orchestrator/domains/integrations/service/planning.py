"""What a sync needs, gathered just before it starts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.domains.catalog import rules as forms
from orchestrator.domains.catalog.service import installed as catalog
from orchestrator.domains.catalog.types import Variant
from orchestrator.domains.integrations import queries, rules
from orchestrator.domains.integrations.errors import (
    BackfillUnsupportedError,
    DisabledError,
    NothingSelectedError,
    NotIncrementalError,
    SameTableError,
    UnknownStreamError,
)
from orchestrator.domains.integrations.service.destinations import DESTINATIONS
from orchestrator.domains.integrations.service.opening import called, concealed, opened, plugin
from orchestrator.domains.integrations.types import Destination, Integration, Mode, Plan, Stream, Window
from orchestrator.domains.vault import service as vault
from orchestrator.domains.vault.types import Owner
from orchestrator.drivers.bundle import Drivers
from orchestrator.drivers.meltano.values import BATCH_FOLDER, NOTES_FILE, Plugin


def plan(
    drivers: Drivers,
    integration: Integration,
    *,
    only: Sequence[str] | None = None,
    window: Window | None = None,
    schema: str | None = None,
    continued: Sequence[str] = (),
) -> Plan:
    """Everything a run over these streams needs; signs in where that is ours to do.

    only:       names of streams to read instead of the selected ones
    window:     read what changed in it, and nothing else
    schema:     load into this one instead of the integration's own
    continued:  streams whose earlier records are in the destination; those that go on from there won't bring them again
    Raises what `to_read` raises, and what signing in raises.
    """
    chosen = to_read(drivers, integration, only=only, window=window)
    with drivers.db.transaction(integration.org_id) as tx:
        destination = queries.destination(tx, integration.destination_id)
    source, target = opened(drivers, integration), loading(destination)
    given, taken = forms.agreed_settings(source.variant, target, folder=BATCH_FOLDER)
    told = {
        **forms.continued_settings(target, _going_on(chosen, continued), notes=NOTES_FILE),
        **forms.claim_settings(target, integration.id),
    }
    return Plan(
        integration=integration,
        extractor=source.extractor({**given, **_bounds(source.variant, window)}),
        loader=loader(drivers, integration, destination, {**taken, **told}, schema=schema or integration.target_schema),
        catalog=rules.run_catalog(chosen),
        streams=tuple(stream.name for stream in chosen),
        encoding=forms.encoding(source.variant, target),
        counted=source.variant.counts and target.counts,
        fresh_token=source.fresh_token(),
    )


def to_read(
    drivers: Drivers, integration: Integration, *, only: Sequence[str] | None = None, window: Window | None = None
) -> list[Stream]:
    """The streams a run would read; with a window, of the selected ones those whose records tell when they changed.

    Raises DisabledError, NothingSelectedError, UnknownStreamError, and SameTableError where two of them, or one of
    them and one that other syncs read, would be loaded over each other; with a window also BackfillUnsupportedError,
    and NotIncrementalError for a stream that was named.
    """
    if not integration.enabled:
        raise DisabledError(integration.name)
    with drivers.db.transaction(integration.org_id) as tx:
        known = queries.streams(tx, integration.id)
        destination = queries.destination(tx, integration.destination_id)
    there = {stream.name: stream for stream in known if stream.gone_at is None}
    selected = [stream for stream in there.values() if stream.selected]
    if only is not None and (unknown := next((wanted for wanted in only if wanted not in there), None)):
        raise UnknownStreamError(unknown, there)
    chosen = selected if only is None else [stream for name, stream in there.items() if name in set(only)]
    if window is not None:
        chosen = _by_time(integration, chosen, named=only is not None)
    if not chosen:
        raise NothingSelectedError(integration.name)
    names = [stream.name for stream in chosen]
    cut_at = loading(destination).cuts_names_at
    if together := rules.in_one_table(destination, names, [stream.name for stream in selected], cut_at=cut_at):
        raise SameTableError(together, rules.table_of(together[0], cut_at=cut_at))
    return chosen


def needed_scopes(integration: Integration) -> tuple[str, ...] | None:
    """What the connector asks the provider for, in the way of signing in that was chosen; None: it knows no scopes."""
    way = forms.sign_in(catalog().get(integration.type), integration.config)
    return None if way is None or way.oauth is None else way.oauth.scopes


def _going_on(streams: Sequence[Stream], continued: Sequence[str]) -> list[str]:
    """Of these streams those that bring only what changed; a bookmark may be of a time when a whole one did so too."""
    names = set(continued)
    return [stream.name for stream in streams if stream.name in names and stream.mode is not Mode.FULL_TABLE]


def _bounds(variant: Variant, window: Window | None) -> dict[str, str]:
    """The plugin's settings that bound what it reads."""
    if window is None or variant.window is None:
        return {}
    return {variant.window.since: window.since.isoformat(), variant.window.until: window.until.isoformat()}


def _by_time(integration: Integration, streams: Sequence[Stream], *, named: bool) -> list[Stream]:
    """Those that can be read for a window of time."""
    connector = catalog().get(integration.type)
    if forms.variant_of(connector, integration.variant).window is None:
        raise BackfillUnsupportedError(integration.name, connector.title, integration.variant)
    whole = [stream.name for stream in streams if stream.mode is not Mode.INCREMENTAL]
    if whole and (named or len(whole) == len(streams)):
        raise NotIncrementalError(integration.name, whole[0])
    return [stream for stream in streams if stream.mode is Mode.INCREMENTAL]


def loading(destination: Destination) -> Variant:
    """The plugin that loads into this destination."""
    return forms.variant_of(catalog().get(destination.type), destination.variant)


def loader(
    drivers: Drivers, integration: Integration, destination: Destination, agreed: Mapping[str, Any], *, schema: str
) -> Plugin:
    """The destination's plugin, set to load into this schema.

    agreed:  further settings, which the source's plugin knows of
    Raises AddressNotAllowedError and UnreachableError for a server of somebody's own.
    """
    connector, variant = catalog().get(destination.type), loading(destination)
    owner = Owner(table=DESTINATIONS, row_id=destination.id)
    with drivers.db.transaction(integration.org_id) as tx:
        secrets = vault.open_all(tx, drivers.keys, integration.org_id, owner)
    exports = drivers.settings.home / "exports" / integration.org_id
    operator = {
        "allow_private": drivers.settings.network.allow_private,
        "exports": str(exports),
        "schema": schema,
    }
    if rules.is_built_in(destination):
        operator["warehouse_url"] = drivers.warehouse_url.get_secret_value()
    found = forms.plugin_settings(connector, variant, destination.config, secrets, operator=operator)
    dials = called(drivers, connector, variant, destination.config)
    texts = [value for value in found.values.values() if isinstance(value, str)]
    writable = [exports] if any(Path(text).is_relative_to(exports) for text in texts) else []
    local = rules.is_built_in(destination)  # the embedded server is reached by a unix socket
    return plugin(drivers, variant, {**concealed(found), **agreed}, dials=dials, writable=writable, sockets=local)
