"""What became of all runs of the installation, as the database counted them."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from orchestrator.domains.runs.tables import RunTotalRow
from orchestrator.domains.runs.types import RunTotal


def totals(tx: Session) -> list[RunTotal]:
    """A row for all runs that ended alike."""
    return [
        RunTotal(
            connector=row.connector,
            kind=row.kind,
            status=row.status,
            failure_kind=row.failure_kind,
            failure_origin=row.failure_origin,
            runs=row.runs,
            seconds=row.seconds,
            read=int(row.records_read),
            written=int(row.records_written),
            deleted=int(row.records_deleted),
            bytes=int(row.bytes),
        )
        for row in tx.scalars(select(RunTotalRow))
    ]
