"""Tables that the community's loader made go on under ours."""

from secrets import token_hex

import pytest
from sqlalchemy import text

from orchestrator.domains.identity import service as identity
from orchestrator.domains.integrations import service as integrations
from orchestrator.domains.integrations.types import Destination, Integration, NewIntegration
from orchestrator.drivers.plugin_store import recipe
from orchestrator.kernel.environment import project_root
from sandboxes.salesforce import LocalOrg
from tests.e2e.comparing import difference
from tests.e2e.conftest import values_of
from tests.e2e.installation import Installation

STREAMS = ("Account", "Opportunity")


@pytest.fixture
def community(installation: Installation) -> Destination:
    """The warehouse, loaded by the community's plugin."""
    with installation.drivers() as drivers:
        drivers.plugins.program(recipe(project_root(), "loaders", "target-postgres", "meltanolabs"))
        place = identity.find(drivers.db, "default")
        new = NewIntegration(type="warehouse", name=f"community {token_hex(3)}", values={}, variant="meltanolabs")
        return integrations.add_destination(drivers, place, new)


def sync(installation: Installation, integration: Integration, *arguments: str) -> dict[str, tuple[int, int]]:
    chosen = [part for name in STREAMS for part in ("--stream", name)]
    done = installation.run("sync", integration.id, *chosen, *arguments, "--json")
    assert done.code == 0, done.err
    return {one["stream"]: (one["read"], one["written"]) for one in done.json["streams"]}


def test_a_table_of_the_communitys_loader_is_taken_over_where_it_is(
    installation: Installation, org: LocalOrg, like: Integration, community: Destination
) -> None:
    name = f"taken over {token_hex(3)}"
    crm = installation.add(name, values_of(org), STREAMS, like=like, destination=community.name)
    accounts = sum(org.count("Account").values())
    assert sync(installation, crm)["Account"] == (accounts, accounts)

    with installation.drivers() as drivers, drivers.db.transaction(crm.org_id) as tx:
        tx.execute(
            text("UPDATE orchestrator.destinations SET variant = 'orchestrator' WHERE name = :name"),
            {"name": community.name},
        )
    org.churn("Account", update=20, delete=4, insert=3)
    read, written = sync(installation, crm)["Account"]
    assert 27 <= read == written < accounts
    with installation.drivers() as drivers:
        for stream in STREAMS:
            assert not difference(org, drivers.warehouse_url, crm.target_schema, stream)

    assert sync(installation, crm, "--full-refresh")["Account"] == (accounts + 3, accounts + 3)
    with installation.drivers() as drivers:
        for stream in STREAMS:
            assert not difference(org, drivers.warehouse_url, crm.target_schema, stream)
