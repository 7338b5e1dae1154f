"""What loaders noted for their next run."""

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from orchestrator.domains.runs.tables import LoaderNotesRow
from orchestrator.domains.runs.types import Attempt


def loader_notes(tx: Session, integration_id: str) -> str | None:
    """What the loader of an integration noted; None where it never did."""
    return tx.scalar(select(LoaderNotesRow.notes).where(LoaderNotesRow.integration_id == integration_id))


def save_loader_notes(tx: Session, attempt: Attempt, integration_id: str, notes: str) -> None:
    """Keep notes in the place of earlier ones; `hold` the run in the same transaction."""
    key = {"org_id": attempt.org_id, "integration_id": integration_id}
    values = {"notes": notes, "run_id": attempt.run_id, "at": func.clock_timestamp()}
    tx.execute(insert(LoaderNotesRow).values(**key, **values).on_conflict_do_update(index_elements=[*key], set_=values))
