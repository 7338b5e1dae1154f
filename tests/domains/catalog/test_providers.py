"""The table of providers: what the files say, and what the operator says."""

import pytest
from sqlalchemy import select, text

from orchestrator.domains.catalog import service
from orchestrator.domains.catalog.errors import ConnectorNotAvailableError, UnknownConnectorError
from orchestrator.domains.catalog.tables import ProviderRow
from orchestrator.domains.catalog.types import Kind


def set_status(status):
    def change(document):
        document["x-catalog"]["status"] = status

    return change


@pytest.fixture
def tx(database):
    with database.anonymous() as tx:
        yield tx


def rows(tx):
    tx.expire_all()
    return {row.name: row for row in tx.scalars(select(ProviderRow))}


def test_every_connector_gets_a_row(tx, catalog):
    service.sync_providers(tx, catalog)
    found = rows(tx)
    assert set(found) == set(catalog.connectors)
    assert (found["salesforce"].title, found["salesforce"].plan) == ("Salesforce", "free")
    assert found["salesforce"].available


def test_the_operators_choices_survive_a_changed_file(tx, catalog, edited):
    service.sync_providers(tx, catalog)
    tx.execute(
        text("UPDATE orchestrator.integration_providers SET available = false, plan = 'team' WHERE name = 'github'")
    )
    service.sync_providers(tx, edited("github", set_status("beta")))
    row = rows(tx)["github"]
    assert (row.status, row.available, row.plan) == ("beta", False, "team")


def test_an_unchanged_file_leaves_its_row_alone(tx, catalog):
    service.sync_providers(tx, catalog)
    before = {name: row.synced_at for name, row in rows(tx).items()}
    service.sync_providers(tx, catalog)
    assert {name: row.synced_at for name, row in rows(tx).items()} == before


def test_without_any_usable_file_nothing_is_done(tx):
    service.sync_providers(tx, service.Catalog(connectors={}, broken=()))
    assert rows(tx) == {}


def test_the_listing_has_sources_first_and_the_operators_choices(tx, catalog):
    service.sync_providers(tx, catalog)
    tx.execute(
        text("UPDATE orchestrator.integration_providers SET available = false, plan = 'team' WHERE name = 'github'")
    )
    offered = service.providers(tx, catalog)
    assert [one.name for one in offered] == [
        "github",
        "postgres",
        "salesforce",
        "duckdb",
        "jsonl",
        "parquet",
        "warehouse",
    ]
    assert [one.kind for one in offered][-2:] == [Kind.DESTINATION] * 2
    assert (offered[0].available, offered[0].plan, offered[0].can_be_added) == (False, "team", False)
    assert offered[2].can_be_added
    assert offered[2].variants == ("orchestrator", "singer-io")


def test_a_connector_not_in_the_table_yet_is_offered_as_its_file_says(tx, catalog):
    assert all(one.available for one in service.providers(tx, catalog))
    assert service.addable(tx, catalog, "github").name == "github"


def test_a_connector_that_was_switched_off_cannot_be_added(tx, catalog):
    service.sync_providers(tx, catalog)
    tx.execute(text("UPDATE orchestrator.integration_providers SET available = false WHERE name = 'github'"))
    with pytest.raises(ConnectorNotAvailableError, match="GitHub is switched off here") as caught:
        service.addable(tx, catalog, "github")
    assert caught.value.exit_code == 4


def test_a_connector_that_is_coming_soon_cannot_be_added(tx, edited):
    with pytest.raises(ConnectorNotAvailableError, match="GitHub is coming soon"):
        service.addable(tx, edited("github", set_status("coming_soon")), "github")


def test_an_unknown_connector_cannot_be_added(tx, catalog):
    with pytest.raises(UnknownConnectorError):
        service.addable(tx, catalog, "githab")
