"""What tests of schedules do and ask: which runs are under way, and how one ends."""

from sqlalchemy import text

from orchestrator.domains.runs import service as runs
from orchestrator.domains.runs.events import RunEnded
from orchestrator.kernel import ids
from orchestrator.kernel.db import Role
from orchestrator.kernel.events import emit


def queued(drivers, org_id):
    return [run for run in runs.listing(drivers, org_id) if not run.status.ended]


def ended(drivers, run, status="succeeded", kind="sync"):
    """As a worker settles a run: its end and its event in one transaction."""
    with drivers.db.transaction(run.org_id, role=Role.WORKER) as tx:
        tx.execute(text("UPDATE orchestrator.runs SET status = :status WHERE id = :id"),
                   {"status": status, "id": ids.decode("run", run.id)})  # fmt: skip
        emit(
            tx,
            RunEnded(
                org_id=run.org_id,
                run_id=run.id,
                integration_id=run.integration_id,
                kind=kind,
                status=status,
                failure=None,
            ),
        )
