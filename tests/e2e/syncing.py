"""A sync caught in the middle of its work."""

from orchestrator.domains.integrations.types import Integration
from orchestrator.domains.runs import service as runs
from sandboxes.salesforce import LocalOrg
from tests.e2e.installation import Installation, Running, eventually


def under_way(
    installation: Installation,
    integration: Integration,
    org: LocalOrg,
    *arguments: str,
    stream: str = "Contact",
    written: int = 0,
    seconds: float = 30.0,
) -> Running:
    """A sync that reads, and has written so many records; one page after the other would take the org `seconds`."""
    org.rows_per_second = max(sum(org.count(stream).values()) / seconds, 1.0)
    running = installation.start("sync", integration.id, "--stream", stream, *arguments)
    with installation.drivers() as drivers:

        def arrived() -> bool:
            assert running.process.poll() is None, running.err
            newest = runs.listing(drivers, integration.org_id, integration_id=integration.id, limit=1)
            counts = runs.counts(drivers, newest[0]) if newest and not newest[0].status.ended else ()
            return any(one.read for one in counts) and sum(one.written for one in counts) >= written

        eventually(arrived, f"{written:,} written records", within=300)
    return running
