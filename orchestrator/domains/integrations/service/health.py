"""An integration's health: counted where runs end and checks are made, with what follows, in one transaction."""

import shlex
from datetime import timedelta

from sqlalchemy.orm import Session

from orchestrator.domains.integrations import queries, rules
from orchestrator.domains.integrations.events import (
    DisableWarned,
    HealthChanged,
    IntegrationChanged,
    IntegrationDisabled,
)
from orchestrator.domains.integrations.types import (
    CheckResult,
    Consequence,
    Ended,
    HealthFacts,
    HealthFigures,
    Integration,
    SetupState,
    Trouble,
    Verdict,
)
from orchestrator.drivers.bundle import Drivers
from orchestrator.kernel.db import Role
from orchestrator.kernel.events import emit
from orchestrator.kernel.settings import HealthSettings


def health_facts(drivers: Drivers, org_id: str) -> dict[str, HealthFacts]:
    """What is known of the health of the organization's integrations, by id."""
    with drivers.db.transaction(org_id) as tx:
        return queries.health_facts(tx)


def figures(drivers: Drivers) -> list[HealthFigures]:
    """How all integrations of the installation are; numbers alone."""
    with drivers.db.anonymous(role=Role.WORKER) as tx:
        return queries.figures(tx)


def note_run(
    tx: Session, settings: HealthSettings, *, org_id: str, integration_id: str, ended: Ended, trouble: Trouble | None
) -> None:
    """Note how a run ended, in the transaction that ends it; warns and disables where it comes to that."""
    facts = queries.note_run(tx, integration_id, ended, trouble, check_every=settings.check_every)
    _tell(tx, org_id, integration_id, facts)
    what = rules.consequence(facts, disable_after=settings.disable_after)
    if what is Consequence.WARN:
        _warn(tx, settings, org_id, integration_id, facts)
    elif what is Consequence.DISABLE:
        _disable(tx, org_id, integration_id, facts)


def note_checks(tx: Session, integration: Integration, results: tuple[CheckResult, ...], *, signs_in: bool) -> None:
    """Note how a connection's checks went.

    signs_in: whether they show that signing in works, where they pass
    """
    failed = next((one for one in results if one.verdict is Verdict.FAILED), None)
    trouble = None
    if failed is not None:
        message = f"{failed.title}: {failed.message}"
        trouble = Trouble(message=message, hint=failed.hint, needs_a_person=failed.needs_sign_in)
    facts = queries.note_check(tx, integration.id, trouble)
    _tell(tx, integration.org_id, integration.id, facts)
    if failed is None and signs_in:
        note_sign_in(tx, integration.id, works=True)
    elif failed is not None and failed.needs_sign_in:
        note_sign_in(tx, integration.id, works=False)


def note_sign_in(tx: Session, integration_id: str, *, works: bool) -> None:
    """Note that signing in works, or that only a person can make it so again; drafts stay drafts."""
    before, after = (
        (SetupState.NEEDS_REAUTH, SetupState.CONNECTED) if works else (SetupState.CONNECTED, SetupState.NEEDS_REAUTH)
    )
    queries.move_setup(tx, integration_id, before=before, after=after)


def switch(drivers: Drivers, integration: Integration, *, enabled: bool) -> Integration:
    """Turn its syncs on or off. Turned on, what went wrong before counts no more, and it is checked soon."""
    with drivers.db.transaction(integration.org_id) as tx:
        now = queries.integration(tx, integration.id)
        if enabled and now is not None and not now.enabled:
            facts = queries.begin_anew(tx, integration.id)
            _tell(tx, integration.org_id, integration.id, facts)
        queries.look_soon(tx, integration.id)
        what = "enabled" if enabled else "disabled"
        emit(tx, IntegrationChanged(org_id=integration.org_id, integration_id=integration.id, what=what))
        return queries.update_integration(tx, integration.id, enabled=enabled)


def mended(tx: Session, integration_id: str) -> None:
    """Somebody changed its configuration: failures of the old one no longer count towards disabling it."""
    queries.change_health(tx, integration_id, unmended=0, warned_at=None)


def set_check_every(drivers: Drivers, integration: Integration, every: timedelta | None) -> HealthFacts:
    """Set how often its connection is checked. None: as often as the installation says; zero: never."""
    with drivers.db.transaction(integration.org_id) as tx:
        queries.change_health(tx, integration.id, check_every=every)
        _announce_watch(tx, integration)
        return queries.put_off_check(tx, integration.id, check_every=drivers.settings.health.check_every)


def set_disable_after(drivers: Drivers, integration: Integration, limit: int | None) -> HealthFacts:
    """Set after how many failures it is disabled, 2 at least. None: as the installation says; zero: never."""
    with drivers.db.transaction(integration.org_id) as tx:
        _announce_watch(tx, integration)
        return queries.change_health(tx, integration.id, disable_after=limit)


def _announce_watch(tx: Session, integration: Integration) -> None:
    emit(tx, IntegrationChanged(org_id=integration.org_id, integration_id=integration.id, what="watch"))


def _tell(tx: Session, org_id: str, integration_id: str, facts: HealthFacts) -> None:
    """Store the word for its health, and say where it is another."""
    health = rules.health(facts)
    before = queries.set_health(tx, integration_id, health)
    if before is not None:
        wrong = facts.trouble or facts.check_trouble
        fact = HealthChanged(
            org_id=org_id,
            integration_id=integration_id,
            before=before.value,
            health=health.value,
            reason=wrong.message if wrong else "",
        )
        emit(tx, fact)


def _warn(tx: Session, settings: HealthSettings, org_id: str, integration_id: str, facts: HealthFacts) -> None:
    queries.note_warned(tx, integration_id)
    reason, hint = _words(facts)
    fact = DisableWarned(
        org_id=org_id,
        integration_id=integration_id,
        failures=facts.unmended,
        limit=rules.disable_after_of(facts, settings.disable_after) or 0,
        reason=reason,
        hint=hint,
    )
    emit(tx, fact)


def _disable(tx: Session, org_id: str, integration_id: str, facts: HealthFacts) -> None:
    if not queries.note_disabled(tx, integration_id):
        return
    reason, hint = _words(facts)
    fact = IntegrationDisabled(
        org_id=org_id,
        integration_id=integration_id,
        failures=facts.unmended,
        reason=reason,
        hint=f"{hint} Then: orchestrator integrations enable {shlex.quote(integration_id)}".strip(),
    )
    emit(tx, fact)


def _words(facts: HealthFacts) -> tuple[str, str]:
    return (facts.trouble.message, facts.trouble.hint) if facts.trouble else ("", "")
