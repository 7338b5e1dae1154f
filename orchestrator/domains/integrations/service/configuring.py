"""Integrations from being added to being deleted, and back."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from orchestrator.domains.catalog import rules as forms
from orchestrator.domains.catalog import service as connectors
from orchestrator.domains.catalog.service import installed as catalog
from orchestrator.domains.catalog.types import Connector
from orchestrator.domains.identity.types import Place
from orchestrator.domains.integrations import queries, rules
from orchestrator.domains.integrations.errors import (
    AmbiguousIntegrationError,
    IntegrationBusyError,
    InvalidIntegrationConfigError,
    NameTakenError,
    NotADraftError,
    UnknownIntegrationError,
)
from orchestrator.domains.integrations.events import IntegrationAdded, IntegrationChanged, IntegrationDeleted
from orchestrator.domains.integrations.service.destinations import named
from orchestrator.domains.integrations.service.health import mended
from orchestrator.domains.integrations.types import Integration, NewIntegration, SetupState
from orchestrator.domains.oauth import service as credentials
from orchestrator.domains.vault import service as vault
from orchestrator.drivers.bundle import Drivers
from orchestrator.kernel import ids
from orchestrator.kernel.events import emit

_CLAIM = "integrations_warehouse_schema"  # the index that keeps a schema of our warehouse to one integration
_IDLE = "integrations_idle"  # the trigger that keeps an integration while one of its runs is under way
_MARK = 4  # characters that set a schema apart from another organization's
_TRIES = 3


def addable(drivers: Drivers, place: Place, name: str) -> Connector:
    """The connector, where it may be added here. Raises what the catalog raises where it may not."""
    with drivers.db.transaction(place.org_id) as tx:
        return connectors.addable(tx, catalog(), name)


def add(drivers: Drivers, place: Place, new: NewIntegration) -> Integration:
    """Save a new integration as a draft, its secrets in the vault; all or nothing.

    Raises InvalidIntegrationConfigError with every wrong field, NameTakenError, UnknownDestinationError, and what the
    catalog raises for a connector that can't be added.
    """
    connector = addable(drivers, place, new.type)
    variant = new.variant or connector.default_variant
    forms.variant_of(connector, variant)
    values = forms.completed(connector, new.values, variant=variant)
    config, secrets = _checked(drivers, connector, variant, values, name=new.name, schema=new.target_schema)
    ready = replace(new, variant=variant, values=config)
    for mark in ("", *(ids.new("int")[-_MARK:] for _ in range(_TRIES))):
        try:
            return _insert(drivers, place, ready, secrets, mark=mark)
        except IntegrityError as error:
            taken = _taken(error, new.name, new.target_schema or rules.schema_name(new.name, ()))
            if new.target_schema is not None or _constraint(error) != _CLAIM:
                raise taken from None
    raise taken


def _insert(
    drivers: Drivers, place: Place, new: NewIntegration, secrets: Mapping[str, SecretStr], *, mark: str
) -> Integration:
    """One try. Raises UnknownDestinationError, and IntegrityError where a name or a schema is taken."""
    with drivers.db.transaction(place.org_id) as tx:
        destination = named(tx, new.destination)
        there = queries.schemas_taken(tx, destination.id)
        credential = credentials.create(
            tx,
            drivers.keys,
            place.org_id,
            provider=new.type,
            auth_type=_auth_type(new.values),
            secrets=secrets,
        )
        integration = queries.insert_integration(
            tx,
            org_id=place.org_id,
            id=ids.new("int"),
            workspace_id=place.workspace_id,
            type=new.type,
            variant=new.variant,
            name=new.name,
            config=dict(new.values),
            credential_id=credential.id,
            destination_id=destination.id,
            target_schema=new.target_schema or rules.schema_name(new.name, there, mark=mark),
            in_warehouse=rules.is_built_in(destination),
            setup_state=SetupState.DRAFT.value,
        )
        emit(tx, IntegrationAdded(org_id=place.org_id, integration_id=integration.id, type=new.type))
        return integration


def edit(
    drivers: Drivers, integration: Integration, values: Mapping[str, Any], *, name: str | None = None
) -> Integration:
    """Replace the configuration; secrets left out or empty keep their old value. All or nothing, like `add`.

    Raises InvalidIntegrationConfigError, also where a kept secret would go somewhere else than where it was given for.
    """
    connector = catalog().get(integration.type)
    completed = forms.completed(connector, values, variant=integration.variant)
    owner = credentials.owner(integration.credential_id)
    with drivers.db.transaction(integration.org_id) as tx:
        there = frozenset(vault.describe(tx, integration.org_id, owner))
    renamed = name or integration.name
    config, secrets = _checked(drivers, connector, integration.variant, completed, name=renamed, there=there)
    again = forms.to_give_again(
        connector, integration.config, config, kept=there - secrets.keys(), variant=integration.variant
    )
    if again:
        raise InvalidIntegrationConfigError(connector.title, again)
    try:
        with drivers.db.transaction(integration.org_id) as tx:
            credentials.set_secrets(
                tx,
                drivers.keys,
                integration.org_id,
                integration.credential_id,
                secrets,
                auth_type=_auth_type(config),
            )
            stale = there - set(forms.secret_names(connector, config))
            vault.forget(tx, integration.org_id, owner, stale)
            mended(tx, integration.id)
            changed = queries.update_integration(tx, integration.id, config=config, name=renamed)
            emit(tx, IntegrationChanged(org_id=integration.org_id, integration_id=integration.id, what="config"))
            return changed
    except IntegrityError as error:
        raise _taken(error, renamed, "") from None


def _checked(
    drivers: Drivers,
    connector: Connector,
    variant: str,
    values: Mapping[str, Any],
    *,
    name: str,
    schema: str | None = None,
    there: frozenset[str] = frozenset(),
) -> tuple[dict[str, Any], dict[str, SecretStr]]:
    """The values apart, after every field was looked at; raises with all that is wrong at once."""
    problems = [
        (problem.path, problem.message)
        for problem in forms.validate(
            connector,
            values,
            secrets_set=there,
            variant=variant,
            allow_private=drivers.settings.network.allow_private,
        )
    ]
    if said := rules.name_problem(name):
        problems.insert(0, ("name", said))
    if schema is not None and (said := rules.schema_problem(schema)):
        problems.append(("target_schema", said))
    if problems:
        raise InvalidIntegrationConfigError(connector.title, tuple(problems))
    return forms.split(connector, values)


def _auth_type(config: Mapping[str, Any]) -> str | None:
    auth = config.get("auth")
    return str(auth["auth_type"]) if isinstance(auth, Mapping) and "auth_type" in auth else None


def _constraint(error: IntegrityError) -> str | None:
    return getattr(getattr(error.orig, "diag", None), "constraint_name", None)


def _detail(error: IntegrityError) -> str:
    return str(getattr(getattr(error.orig, "diag", None), "message_detail", ""))


def _taken(error: IntegrityError, name: str, schema: str) -> Exception:
    """The same words whoever has it: other organizations stay unknown."""
    if _constraint(error) == "integrations_name":
        return NameTakenError("name", name)
    if _constraint(error) in {"integrations_schema", _CLAIM}:
        return NameTakenError("schema", schema)
    return error


def listing(drivers: Drivers, org_id: str, *, deleted: bool = False) -> list[Integration]:
    """The organization's integrations by name; with `deleted`, those that can be restored."""
    with drivers.db.transaction(org_id) as tx:
        return queries.integrations(tx, deleted=deleted)


def find(drivers: Drivers, org_id: str, wanted: str, *, deleted: bool = False) -> Integration:
    """The integration meant by a name, an id or the beginning of one.

    Raises UnknownIntegrationError (with a suggestion), AmbiguousIntegrationError.
    """
    with drivers.db.transaction(org_id) as tx:
        found = queries.integrations_like(tx, wanted, deleted=deleted)
        if not found:
            raise UnknownIntegrationError(wanted, [one.name for one in queries.integrations(tx, deleted=deleted)])
    if len(found) > 1:
        raise AmbiguousIntegrationError(wanted, tuple(one.id for one in found))
    return found[0]


def public(drivers: Drivers, integration: Integration) -> dict[str, Any]:
    """The configuration as people may see it: of secrets only that they are set, and since when. Needs no key."""
    owner = credentials.owner(integration.credential_id)
    with drivers.db.transaction(integration.org_id) as tx:
        there = vault.describe(tx, integration.org_id, owner)
    return forms.public(catalog().get(integration.type), integration.config, there)


def connect(drivers: Drivers, integration: Integration) -> Integration:
    """Mark a draft as set up."""
    return _update(drivers, integration, "connected", setup_state=SetupState.CONNECTED.value)


def discard(drivers: Drivers, integration: Integration) -> None:
    """Remove a draft for good, with its sign-in and secrets: it never ran, and its name and schema are free again.

    Raises NotADraftError where it is more than that; then nothing was changed.
    """
    try:
        with drivers.db.transaction(integration.org_id) as tx:
            if not queries.delete_draft(tx, integration.id):
                raise NotADraftError(integration.name)
            credentials.remove(tx, integration.org_id, integration.credential_id)
            emit(tx, IntegrationDeleted(org_id=integration.org_id, integration_id=integration.id))
    except IntegrityError:
        raise NotADraftError(integration.name) from None


def delete(drivers: Drivers, integration: Integration, *, forget_secrets: bool = False) -> None:
    """Take it out of sight; configuration, secrets and state stay, so that `restore` brings it back whole.

    forget_secrets:  these go now and for good; a restored one needs them given again
    Raises IntegrationBusyError while a run is under way, and then nothing was changed.
    """
    try:
        with drivers.db.transaction(integration.org_id) as tx:
            queries.hold(tx, integration.id)  # a run that is being requested is seen
            queries.mark_deleted(tx, integration.id)
            if forget_secrets:
                vault.forget(tx, integration.org_id, credentials.owner(integration.credential_id))
            emit(tx, IntegrationDeleted(org_id=integration.org_id, integration_id=integration.id))
    except IntegrityError as error:
        if _constraint(error) != _IDLE:
            raise
        raise IntegrationBusyError(integration.name, ids.encode("run", UUID(_detail(error)))) from None


def restore(drivers: Drivers, integration: Integration) -> Integration:
    """Undo a deletion. Raises NameTakenError where another took its name meanwhile."""
    try:
        return _update(drivers, integration, "restored", deleted_at=None)
    except IntegrityError as error:
        raise _taken(error, integration.name, integration.target_schema) from None


def _update(drivers: Drivers, integration: Integration, what: str, **values: Any) -> Integration:
    with drivers.db.transaction(integration.org_id) as tx:
        queries.look_soon(tx, integration.id)
        changed = queries.update_integration(tx, integration.id, **values)
        emit(tx, IntegrationChanged(org_id=integration.org_id, integration_id=integration.id, what=what))
        return changed


def hold(tx: Session, integration_id: str) -> None:
    """Keep runs from being requested for it until the transaction ends."""
    queries.hold(tx, integration_id)
