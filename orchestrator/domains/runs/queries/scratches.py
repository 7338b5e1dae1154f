"""Scratch schemas of dry runs, as the runs know of them."""

from datetime import timedelta

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from orchestrator.domains.runs.queries.values import as_run
from orchestrator.domains.runs.tables import RunRow
from orchestrator.domains.runs.types import Run


def note_scratch(tx: Session, run: Run, schema: str | None) -> None:
    """Note that a run's scratch schema is there, or that it is gone; earlier runs of the integration have none then."""
    there = update(RunRow).where(RunRow.integration_id == run.integration_id, RunRow.scratch_schema.is_not(None))
    tx.execute(there.where(RunRow.id <= run.id).values(scratch_schema=None))
    if schema is not None:
        tx.execute(update(RunRow).where(RunRow.id == run.id).values(scratch_schema=schema))


def scratches(tx: Session, *, keep: timedelta) -> list[Run]:
    """Ended runs whose scratch schema may be there and isn't to be kept, or was for longer than `keep`."""
    over = RunRow.finished_at < func.clock_timestamp() - keep
    wanted = select(RunRow).where(
        RunRow.scratch_schema.is_not(None), RunRow.finished_at.is_not(None), or_(~RunRow.keep_scratch, over)
    )
    return [as_run(row) for row in tx.scalars(wanted)]
