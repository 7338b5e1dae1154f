"""A source having a bad day: the sync retries where it stopped and brings every record."""

from orchestrator.domains.integrations.types import Integration
from sandboxes.salesforce import LocalOrg
from tests.e2e.comparing import difference
from tests.e2e.installation import Installation

RESULTS = r"/jobs/query/[^/]+/results"


def test_every_record_arrives_through_429_503_resets_and_cut_pages(
    installation: Installation, salesforce: Integration, org: LocalOrg
) -> None:
    org.faults.add("status", path="/describe", status=503)
    org.faults.add("status", path="/jobs/query", method="POST", status=429, retry_after=1)
    org.faults.add("reset_body", path=RESULTS, nth=1)
    org.faults.add("cut_row", path=RESULTS, nth=2)
    org.faults.add("truncated_gzip", path=RESULTS, nth=3)
    done = installation.run("sync", salesforce.id, "--stream", "Contact", "--json")
    assert done.code == 0, done.err
    assert [fault["hits"] for fault in org.faults.listing()] == [1, 1, 1, 1, 1]
    [contact] = done.json["streams"]
    assert contact["read"] == contact["written"] == sum(org.count("Contact").values())
    with installation.drivers() as drivers:
        assert not difference(org, drivers.warehouse_url, salesforce.target_schema, "Contact")
