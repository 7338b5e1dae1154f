"""Where records go: the warehouse every organization begins with, and those people add."""

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from orchestrator.domains.catalog import rules as forms
from orchestrator.domains.catalog import service as connectors
from orchestrator.domains.identity.types import Place
from orchestrator.domains.integrations import queries, rules
from orchestrator.domains.integrations.errors import (
    InvalidIntegrationConfigError,
    NameTakenError,
    UnknownDestinationError,
)
from orchestrator.domains.integrations.service.opening import called
from orchestrator.domains.integrations.types import Destination, Integration, NewIntegration
from orchestrator.domains.vault import service as vault
from orchestrator.domains.vault.types import Owner
from orchestrator.drivers import postgres_login
from orchestrator.drivers.bundle import Drivers
from orchestrator.kernel import ids

DESTINATIONS = "destinations"


def ensure_warehouse(tx: Session, org_id: str) -> None:
    """Give the organization its default destination."""
    variant = connectors.installed().get(rules.WAREHOUSE).default_variant
    queries.ensure_destination(tx, org_id, type=rules.WAREHOUSE, variant=variant, name=rules.WAREHOUSE, config={})


def destinations(drivers: Drivers, org_id: str) -> list[Destination]:
    """The organization's destinations by name."""
    with drivers.db.transaction(org_id) as tx:
        return queries.destinations(tx)


def destination(drivers: Drivers, integration: Integration) -> Destination:
    """Where an integration loads to."""
    with drivers.db.transaction(integration.org_id) as tx:
        return queries.destination(tx, integration.destination_id)


def named(tx: Session, name: str) -> Destination:
    """The destination of this name. Raises UnknownDestinationError."""
    found = queries.destinations(tx)
    for destination in found:
        if destination.name == name:
            return destination
    raise UnknownDestinationError(name, (destination.name for destination in found))


def add_destination(drivers: Drivers, place: Place, new: NewIntegration, *, test: bool = True) -> Destination:
    """Save a new destination, its secrets in the vault; all or nothing.

    new:   `destination` and `target_schema` mean nothing here
    test:  sign in first where it is a server of somebody's own; where its address is judged, tested or not
    Raises InvalidIntegrationConfigError with every wrong field, NameTakenError, AddressNotAllowedError,
    UnreachableError, LoginRefusedError, and what the catalog raises.
    """
    with drivers.db.transaction(place.org_id) as tx:
        connector = connectors.addable(tx, connectors.installed(), new.type)
    variant = forms.variant_of(connector, new.variant or connector.default_variant)
    allowed = drivers.settings.network.allow_private
    values = forms.completed(connector, new.values, variant=variant.name)
    problems = [
        (problem.path, problem.message)
        for problem in forms.validate(connector, values, variant=variant.name, allow_private=allowed)
    ]
    if said := rules.name_problem(new.name):
        problems.insert(0, ("name", said))
    if problems:
        raise InvalidIntegrationConfigError(connector.title, tuple(problems))
    config, secrets = forms.split(connector, values)
    addresses = called(drivers, connector, variant, config)
    login = rules.login_of(connector.name, config, secrets)
    if test and login is not None:
        postgres_login.check(login, address=addresses[0])
    try:
        with drivers.db.transaction(place.org_id) as tx:
            destination = queries.insert_destination(
                tx,
                org_id=place.org_id,
                id=ids.new("dst"),
                type=connector.name,
                variant=variant.name,
                name=new.name,
                config=config,
            )
            vault.put(tx, drivers.keys, place.org_id, Owner(table=DESTINATIONS, row_id=destination.id), secrets)
            return destination
    except IntegrityError:
        raise NameTakenError("name", new.name) from None
