"""What a sync brings: exactly the source, every time."""

from orchestrator.domains.integrations.types import Integration
from sandboxes.salesforce import LocalOrg
from tests.e2e.comparing import difference
from tests.e2e.conftest import values_of
from tests.e2e.installation import Installation

STREAMS = ("Account", "Lead", "Opportunity")


def test_the_tables_are_the_source_and_stay_so(installation: Installation, like: Integration, org: LocalOrg) -> None:
    # Looking back would read again what earlier tests have changed.
    salesforce = installation.add("the source and nothing else", values_of(org, lookback_minutes=0), [], like=like)
    chosen = [part for name in STREAMS for part in ("--stream", name)]
    done = installation.run("sync", salesforce.id, *chosen, "--json")
    assert done.code == 0, done.err
    with installation.drivers() as drivers:
        for name in STREAMS:
            assert not difference(org, drivers.warehouse_url, salesforce.target_schema, name)
    org.churn("Account", update=20, delete=7, insert=3)
    org.churn("Lead", update=10, delete=5, insert=2)
    done = installation.run("sync", salesforce.id, *chosen, "--json")
    assert done.code == 0, done.err
    assert {one["stream"]: one["read"] for one in done.json["streams"]} == {"Account": 30, "Lead": 17, "Opportunity": 0}
    with installation.drivers() as drivers:
        for name in STREAMS:
            assert not difference(org, drivers.warehouse_url, salesforce.target_schema, name)


def test_records_removed_for_good_are_marked_in_the_warehouse(
    installation: Installation, salesforce: Integration, org: LocalOrg
) -> None:
    chosen = ("--stream", "Opportunity")
    assert installation.run("sync", salesforce.id, *chosen).code == 0
    removed = sorted(org.hard_delete("Opportunity", 5))
    org.clock.advance(120)  # Salesforce's log of deletions is asked for whole minutes
    done = installation.run("sync", salesforce.id, *chosen, "--json")
    assert done.code == 0, done.err
    [opportunity] = done.json["streams"]
    assert (opportunity["read"], opportunity["written"], opportunity["deleted"]) == (5, 5, 5)
    with installation.drivers() as drivers:
        found = difference(org, drivers.warehouse_url, salesforce.target_schema, "Opportunity")
    assert found.extra == found.unmarked == removed, "still there, and marked"
    assert not found.missing
    assert not found.differing
