"""State: one stream's start over leaves the others alone; going back reads again; history only grows."""

from typing import Any

import pytest

from orchestrator.domains.integrations.types import Integration
from sandboxes.salesforce import LocalOrg
from tests.e2e.comparing import difference
from tests.e2e.installation import Installation

BOTH = ("--stream", "Account", "--stream", "Opportunity")


def synced(installation: Installation, salesforce: Integration, *arguments: str) -> dict[str, int]:
    """stream → records read."""
    done = installation.run("sync", salesforce.id, *arguments, "--json")
    assert done.code == 0, done.err
    return {one["stream"]: one["read"] for one in done.json["streams"]}


def history(installation: Installation, salesforce: Integration) -> list[dict[str, Any]]:
    return list(installation.run("state", salesforce.id, "history", "--json").json)


@pytest.mark.usefixtures("calm_for_long")
def test_starting_one_stream_over_and_going_back_reads_only_what_was_asked_for(
    installation: Installation, salesforce: Integration, org: LocalOrg
) -> None:
    accounts, opportunities = sum(org.count("Account").values()), sum(org.count("Opportunity").values())
    assert synced(installation, salesforce, *BOTH) == {"Account": accounts, "Opportunity": opportunities}
    first = history(installation, salesforce)
    shown = {one["stream"]: one for one in installation.run("state", salesforce.id, "--json").json}

    assert synced(installation, salesforce, "--stream", "Account", "--full-refresh") == {"Account": accounts}
    later = {one["stream"]: one for one in installation.run("state", salesforce.id, "--json").json}
    assert later["Opportunity"] == shown["Opportunity"]

    everything = history(installation, salesforce)
    assert everything[-len(first) :] == first
    goal = next(one for one in first if one["stream"] == "Opportunity")  # the newest of them
    before = installation.run("state", salesforce.id, "reset", "--stream", "Opportunity", "--json")
    assert before.json == {
        "applied": False,
        "streams": [{**before.json["streams"][0], "stream": "Opportunity", "reread": opportunities}],
    }
    assert installation.run("state", salesforce.id, "reset", "--stream", "Opportunity", "--yes").code == 0
    assert synced(installation, salesforce, *BOTH) == {"Account": 0, "Opportunity": opportunities}
    rolled = installation.run("state", salesforce.id, "rollback", str(goal["id"]), "--yes", "--json")
    assert rolled.code == 0, rolled.err
    assert synced(installation, salesforce, *BOTH)["Opportunity"] == 0

    final = history(installation, salesforce)
    assert final[-len(everything) :] == everything
    assert [one["id"] for one in final] == sorted((one["id"] for one in final), reverse=True)
    with installation.drivers() as drivers:
        for name in ("Account", "Opportunity"):
            assert not difference(org, drivers.warehouse_url, salesforce.target_schema, name)
