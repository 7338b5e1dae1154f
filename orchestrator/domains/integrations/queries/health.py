"""What is known of integrations' health, and whose connection is to be checked."""

from dataclasses import asdict
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, case, func, select, text, update
from sqlalchemy.orm import Session

from orchestrator.domains.integrations.tables import HealthRow, IntegrationRow
from orchestrator.domains.integrations.types import Ended, Health, HealthFacts, HealthFigures, SetupState, Trouble
from orchestrator.kernel import ids
from orchestrator.kernel.db import Identifier


def _facts(row: HealthRow) -> HealthFacts:
    return HealthFacts(
        last=None if row.last is None else Ended(row.last),
        failures=row.failures,
        unmended=row.unmended,
        trouble=None if row.trouble is None else Trouble(**row.trouble),
        check_trouble=None if row.check_trouble is None else Trouble(**row.check_trouble),
        last_success_at=row.last_success_at,
        checked_at=row.checked_at,
        next_check_at=row.next_check_at,
        warned_at=row.warned_at,
        disabled_at=row.disabled_at,
        check_every=row.check_every,
        disable_after=row.disable_after,
    )


def health_facts(tx: Session) -> dict[str, HealthFacts]:
    """What is known of the organization's integrations, by id."""
    return {row.integration_id: _facts(row) for row in tx.scalars(select(HealthRow))}


def health_facts_of(tx: Session, integration_id: str) -> HealthFacts:
    """What is known of one."""
    return _facts(tx.scalars(select(HealthRow).where(HealthRow.integration_id == integration_id)).one())


def note_run(
    tx: Session, integration_id: str, ended: Ended, trouble: Trouble | None, *, check_every: timedelta | None
) -> HealthFacts:
    """Count the end of a run, and put the next check off: a run is one.

    check_every: the installation's; None: never
    """
    failed = ended is Ended.FAILED
    counts = failed and trouble is not None and trouble.counts
    values: dict[str, Any] = {
        "last": ended.value,
        "failures": HealthRow.failures + 1 if failed else 0,
        "unmended": HealthRow.unmended + int(counts) if failed else 0,
        "trouble": None if trouble is None else asdict(trouble),
        "next_check_at": _next_check(check_every),
    }
    if not failed:
        values |= {"check_trouble": None, "warned_at": None}
    if ended is Ended.SUCCEEDED:
        values |= {"last_success_at": func.clock_timestamp(), "next_look_at": func.clock_timestamp()}
    return change_health(tx, integration_id, **values)


def note_check(tx: Session, integration_id: str, trouble: Trouble | None) -> HealthFacts:
    """Note how a check went, and when."""
    stored = None if trouble is None else asdict(trouble)
    return change_health(tx, integration_id, checked_at=func.clock_timestamp(), check_trouble=stored)


def note_warned(tx: Session, integration_id: str) -> None:
    """Note that its owner was warned now."""
    change_health(tx, integration_id, warned_at=func.clock_timestamp())


def note_disabled(tx: Session, integration_id: str) -> bool:
    """Switch it off by ourselves; False where it is off already."""
    change = update(IntegrationRow).where(IntegrationRow.id == integration_id, IntegrationRow.enabled)
    off = change.values(enabled=False, updated_at=func.clock_timestamp()).returning(IntegrationRow.id)
    if tx.scalar(off) is None:
        return False
    change_health(tx, integration_id, disabled_at=func.clock_timestamp(), next_look_at=func.clock_timestamp())
    return True


def begin_anew(tx: Session, integration_id: str) -> HealthFacts:
    """Forget what went wrong, since it was switched on, and nothing that went well; check it soon."""
    return change_health(
        tx,
        integration_id,
        last=case((HealthRow.last == Ended.SUCCEEDED.value, HealthRow.last)),
        failures=0,
        unmended=0,
        trouble=None,
        check_trouble=None,
        checked_at=case((HealthRow.check_trouble.is_(None), HealthRow.checked_at)),
        warned_at=None,
        disabled_at=None,
        next_check_at=func.clock_timestamp(),
    )


def put_off_check(tx: Session, integration_id: str, *, check_every: timedelta | None) -> HealthFacts:
    """Count the time until its next check from now on."""
    return change_health(tx, integration_id, next_check_at=_next_check(check_every))


def note_looked_in(tx: Session, integration_id: str, *, check_every: timedelta | None) -> None:
    """The same where a check was made, unless another became due meanwhile: somebody enabled it, to have it checked."""
    due = HealthRow.next_check_at <= func.clock_timestamp()
    then = case((due, HealthRow.next_check_at), else_=_next_check(check_every))
    change_health(tx, integration_id, next_check_at=then)


def change_health(tx: Session, integration_id: str, **values: Any) -> HealthFacts:
    """Change some of what is known; whoever does holds the row until the transaction ends."""
    change = update(HealthRow).where(HealthRow.integration_id == integration_id).values(**values)
    row = tx.scalars(change.returning(HealthRow), execution_options={"populate_existing": True}).one()
    return _facts(row)


def set_health(tx: Session, integration_id: str, health: Health) -> Health | None:
    """Store the word for it; answers the one before, None where it was the same."""
    old = tx.scalar(select(IntegrationRow.health).where(IntegrationRow.id == integration_id).with_for_update())
    if old == health.value or old is None:
        return None
    tx.execute(update(IntegrationRow).where(IntegrationRow.id == integration_id).values(health=health.value))
    return Health(old)


def _next_check(every: timedelta | None) -> ColumnElement[Any]:
    return func.orchestrator.next_check(HealthRow.check_every, every)


_CLAIM = text("SELECT * FROM orchestrator.claim_due_check(:every, :served)").columns(
    org_id=Identifier("org"), integration_id=Identifier("int")
)


def figures(tx: Session) -> list[HealthFigures]:
    """How all integrations of the installation are, by a reviewed function; numbers alone."""
    return [
        HealthFigures(
            health=Health(row.health),
            setup_state=SetupState(row.setup_state),
            disabled_by=row.disabled_by,
            integrations=row.integrations,
        )
        for row in tx.execute(text("SELECT * FROM orchestrator.integration_figures()"))
    ]


def claim_due_check(tx: Session, *, every: timedelta | None, after: str) -> tuple[str, str, bool] | None:
    """Claim one check that is due, of whatever organization, for nobody else in ten minutes; None where none is.

    `note_looked_in` is to say by then when the next one is due.

    Answers (organization, integration, whether it is to be checked at all).
    every: between checks, for integrations without a time of their own; None: never
    after: the organization that had its turn; empty for none
    """
    served = ids.decode("org", after) if after else UUID(int=0)
    row = tx.execute(_CLAIM, {"every": every, "served": served}).one_or_none()
    return None if row is None else (row.org_id, row.integration_id, row.wanted)
