"""Salesforce's own result pages, handed to the loader as files."""

import json

from orchestrator.domains.integrations.types import Integration
from sandboxes.salesforce import LocalOrg
from tests.e2e.comparing import difference
from tests.e2e.conftest import values_of
from tests.e2e.installation import Installation
from tests.e2e.syncing import under_way


def test_the_encoding_is_shown_before_and_said_by_the_run(installation: Installation, salesforce: Integration) -> None:
    shown = installation.run("render", salesforce.id, "--json").json
    assert shown["encoding"] == "csv+gzip"
    for name in ("TAP_SALESFORCE_BATCH_CONFIG", "TARGET_POSTGRES_COPY_BATCH_CONFIG"):
        assert json.loads(shown["variables"][name])["encoding"] == {"format": "csv", "compression": "gzip"}
    assert "records go as csv+gzip batches" in installation.run("render", salesforce.id).out
    chosen = ("--stream", "Contact", "--stream", "User")
    assert installation.run("sync", salesforce.id, *chosen, "--quiet").code == 0
    said = installation.run("runs", "logs", installation.latest(salesforce).id).out
    assert "are not noticed" not in said
    assert max(len(line) for line in said.splitlines()) < 300
    assert f"Syncing Contact, User into {salesforce.target_schema}, as csv+gzip batches." in said


def test_batches_are_counted_like_records_first_and_later(
    installation: Installation, like: Integration, org: LocalOrg
) -> None:
    # Looking back would read again what earlier tests have changed.
    salesforce = installation.add("counted", values_of(org, lookback_minutes=0), ["Contact"], like=like)
    counts = org.count("Contact")
    done = installation.run("sync", salesforce.id, "--json")
    assert done.code == 0, done.err
    [contact] = done.json["streams"]
    everything = sum(counts.values())
    assert (contact["read"], contact["written"]) == (everything, everything)
    assert contact["deleted"] == counts["deleted"]
    org.churn("Contact", update=40, delete=10, insert=5)
    org.clock.advance(120)  # so that Salesforce's log of deletions, which knows whole minutes, names them as well
    done = installation.run("sync", salesforce.id, "--json")
    assert done.code == 0, done.err
    [contact] = done.json["streams"]
    assert (contact["read"], contact["written"], contact["deleted"]) == (55, 55, 10)
    with installation.drivers() as drivers:
        assert not difference(org, drivers.warehouse_url, salesforce.target_schema, "Contact")


def test_batch_files_lie_in_the_runs_own_folder_and_nobody_else_may_enter(
    installation: Installation, file_by_file: Integration, org: LocalOrg
) -> None:
    running = under_way(installation, file_by_file, org)
    [folder] = [one / "batches" for one in installation.directories()]
    assert folder.stat().st_mode & 0o777 == 0o700
    org.faults.clear()
    assert running.end().code == 0
    installation.assert_nothing_left()
