"""The scratch schema of an integration: where a dry run loads, beside its real one and never in it."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from orchestrator.domains.catalog.service import installed as catalog
from orchestrator.domains.integrations import queries, rules
from orchestrator.domains.integrations.errors import DryRunUnsupportedError
from orchestrator.domains.integrations.service.destinations import DESTINATIONS
from orchestrator.domains.integrations.service.opening import called
from orchestrator.domains.integrations.service.planning import loading
from orchestrator.domains.integrations.types import Integration
from orchestrator.domains.vault import service as vault
from orchestrator.domains.vault.types import Owner
from orchestrator.drivers import postgres_login, scratch, warehouse
from orchestrator.drivers.bundle import Drivers


def scratch_schema(drivers: Drivers, integration: Integration) -> str:
    """The name of its scratch schema. Raises DryRunUnsupportedError where its destination has no schemas."""
    with drivers.db.transaction(integration.org_id) as tx:
        destination = queries.destination(tx, integration.destination_id)
    if destination.type != rules.WAREHOUSE:
        raise DryRunUnsupportedError(destination.name, catalog().get(destination.type).title)
    return rules.scratch_name(integration.target_schema)


def make_scratch(drivers: Drivers, integration: Integration) -> None:
    """Make it, empty: what an earlier dry run left is dropped. Raises what the driver raises."""
    with _connected(drivers, integration) as connection:
        scratch.make(connection, scratch_schema(drivers, integration), mark=_mark(integration))


def drop_scratch(drivers: Drivers, integration: Integration) -> None:
    """Drop it and all that is in it; harmless where it is gone. Raises what the driver raises."""
    with _connected(drivers, integration) as connection:
        scratch.drop(connection, scratch_schema(drivers, integration), mark=_mark(integration))


def _mark(integration: Integration) -> str:
    return f"Scratch schema of a dry run of {integration.id}; orchestrator drops it."


@contextmanager
def _connected(drivers: Drivers, integration: Integration) -> Iterator[psycopg.Connection]:
    """The destination's server, as the loader signs in there."""
    with drivers.db.transaction(integration.org_id) as tx:
        destination = queries.destination(tx, integration.destination_id)
        owner = Owner(table=DESTINATIONS, row_id=destination.id)
        secrets = {} if rules.is_built_in(destination) else vault.open_all(tx, drivers.keys, integration.org_id, owner)
    login = rules.login_of(destination.type, destination.config, secrets)
    if login is None:
        with warehouse.connected(drivers.warehouse_url) as connection:
            yield connection
        return
    [address] = called(drivers, catalog().get(destination.type), loading(destination), destination.config)
    with postgres_login.connected(login, address=address) as connection:
        yield connection
