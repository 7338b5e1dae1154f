"""Removing history."""

from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session


def prune(tx: Session, *, keep: timedelta, batch: int) -> int | None:
    """Remove up to `batch` rows of each kind of this organization's old history; answers how many went.

    By a reviewed function: nobody may delete history otherwise. None where nothing is left, or another is at it.
    """
    gone = tx.scalar(text("SELECT orchestrator.prune_history(:keep, :batch)"), {"keep": keep, "batch": batch})
    return None if gone is None else int(gone)
