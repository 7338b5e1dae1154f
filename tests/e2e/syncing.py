"""A sync caught in the middle of its work, for as long as a test likes."""

from collections.abc import Callable

from sqlalchemy import text

from orchestrator.domains.integrations.types import Integration
from orchestrator.domains.runs import rules
from orchestrator.domains.runs import service as runs
from orchestrator.kernel.db import engine
from sandboxes.salesforce import LocalOrg
from tests.e2e.conftest import FILE_ROWS
from tests.e2e.installation import Installation, Running, eventually


def hold_back(org: LocalOrg, *, after: int) -> None:
    """The org hands out files with so many records, and the rest once its faults are cleared.

    It counts files, of which the smallest is half full; so the integration must ask for one after the other.
    """
    org.faults.add("stall", path="/results", nth=after // (FILE_ROWS // 2) + 2, times=0, seconds=600)


def wait_until_loaded(
    installation: Installation,
    integration: Integration,
    written: int,
    *,
    stream: str = "Contact",
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Until so many records are in the warehouse, and state is committed; `meanwhile` fails where they never will be."""
    with installation.drivers() as drivers:
        pool = engine(drivers.warehouse_url)
        table = f'"{integration.target_schema}"."{stream}"'

        def arrived() -> bool:
            meanwhile()
            positions = [
                rules.position(one.bookmark) for one in runs.show(drivers, integration) if one.stream == stream
            ]
            if not positions or positions[0].startswith("deleted_until="):  # known before any record is
                return False
            with pool.connect() as connection:
                return bool(connection.scalar(text(f"SELECT count(*) >= {written} FROM {table}")))

        try:
            eventually(arrived, f"{written:,} written records")
        finally:
            pool.dispose()


def under_way(
    installation: Installation,
    integration: Integration,
    org: LocalOrg,
    *arguments: str,
    stream: str = "Contact",
    written: int = 1,
) -> Running:
    """A sync that has written so many records and gets no more of them until the org's faults are cleared."""
    hold_back(org, after=written)
    running = installation.start("sync", integration.id, "--stream", stream, *arguments)

    def lives() -> None:
        assert running.process.poll() is None, running.err

    wait_until_loaded(installation, integration, written, stream=stream, meanwhile=lives)
    return running
