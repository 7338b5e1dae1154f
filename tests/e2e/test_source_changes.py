"""What somebody changes in the source's own form between two syncs: nothing is lost, and it is said what to do."""

from collections.abc import Iterator
from dataclasses import replace
from secrets import token_hex

import pytest

from orchestrator.domains.integrations.types import Integration
from orchestrator.domains.runs.types import RunStatus
from sandboxes.salesforce import LocalOrg
from sandboxes.salesforce.schema import field
from tests.e2e.comparing import difference
from tests.e2e.conftest import values_of
from tests.e2e.installation import Done, Installation


@pytest.fixture
def small_org() -> Iterator[LocalOrg]:
    """An org that a test may reshape."""
    with LocalOrg(counts={"Account": 300}) as made:
        yield made


@pytest.fixture
def crm(installation: Installation, small_org: LocalOrg) -> Integration:
    """Its accounts, synced once."""
    made = installation.add(f"reshaped {token_hex(3)}", values_of(small_org), ["Account"])
    done = installation.run("sync", made.id)
    assert done.code == 0, done.err
    return made


def logs(installation: Installation, integration: Integration) -> str:
    return installation.run("runs", "logs", installation.latest(integration).id).out


def positions(installation: Installation, integration: Integration) -> dict[str, str]:
    return {one["stream"]: one["position"] for one in installation.run("state", integration.id, "--json").json}


def discovered_and_synced(installation: Installation, crm: Integration) -> Done:
    found = installation.run("discover", crm.id)
    assert found.code == 0, found.err
    return installation.run("sync", crm.id)


def assert_whole(installation: Installation, crm: Integration, org: LocalOrg) -> None:
    with installation.drivers() as drivers:
        assert not difference(org, drivers.warehouse_url, crm.target_schema, "Account")


def industries(installation: Installation, crm: Integration) -> dict[str, str | None]:
    question = f'SELECT "Id", "Industry" FROM "{crm.target_schema}"."Account"'
    said = installation.run("query", question, "--limit", "1000", "--json").json
    return {row["Id"]: row["Industry"] for row in said}


def test_a_removed_field_is_named_and_the_rest_goes_on(
    installation: Installation, crm: Integration, small_org: LocalOrg
) -> None:
    before = industries(installation, crm)
    small_org.remove_field("Account", "Industry")
    small_org.churn("Account", update=20, delete=3)
    done = installation.run("sync", crm.id)
    assert done.code == 0, done.err
    assert "Account no longer has Industry, or this user may not see it" in logs(installation, crm)
    assert_whole(installation, crm, small_org)
    assert any(before.values())
    assert industries(installation, crm) == before, "rows that changed keep what they had, and say so"


def test_a_renamed_field_is_named_and_arrives_whole_after_a_discovery(
    installation: Installation, crm: Integration, small_org: LocalOrg
) -> None:
    before = small_org.store.sobject("Account").find("Industry")
    assert before is not None
    small_org.replace_field("Account", "Industry", replace(before, name="Sector"))
    small_org.churn("Account", update=20)
    done = installation.run("sync", crm.id)
    assert done.code == 0, done.err
    assert "Account no longer has Industry" in logs(installation, crm)
    assert_whole(installation, crm, small_org)

    done = discovered_and_synced(installation, crm)
    assert done.code == 0, done.err
    assert_whole(installation, crm, small_org)


def test_a_retyped_field_stops_the_sync_before_its_values_and_loses_nothing_after_a_discovery(
    installation: Installation, crm: Integration, small_org: LocalOrg
) -> None:
    committed = positions(installation, crm)
    small_org.replace_field("Account", "NumberOfEmployees", field("NumberOfEmployees", "string", 40))
    small_org.update("Account", 1, {"NumberOfEmployees": "about a hundred"})
    done = installation.run("sync", crm.id)
    failed = installation.latest(crm)
    assert done.code == 1, done.err
    assert failed.status is RunStatus.FAILED
    assert failed.failure is not None
    assert "NumberOfEmployees" in failed.failure.message
    assert "orchestrator discover" in failed.failure.hint
    assert positions(installation, crm) == committed

    found = installation.run("discover", crm.id)
    assert found.code == 0, found.err
    done = installation.run("sync", crm.id)
    assert done.code == 0, done.err
    assert_whole(installation, crm, small_org)
