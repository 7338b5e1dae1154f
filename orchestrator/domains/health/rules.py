"""What needs attention, and what to type. No clock, no I/O."""

import shlex
from collections.abc import Iterable
from datetime import datetime, timedelta

from orchestrator.domains.health.types import Attention, Cause, Condition, Freshness
from orchestrator.domains.integrations.types import Health, HealthFacts, Integration, SetupState
from orchestrator.domains.schedules.types import Promise

_LOOK_AGAIN = timedelta(hours=1)


def freshness(promises: Iterable[Promise]) -> Freshness | None:
    """Of several schedules, the one that was or is to be kept first."""
    first = min(promises, key=lambda one: one.due, default=None)
    return None if first is None else Freshness(as_of=first.as_of, due=first.due, late=first.late)


def next_look(fresh: Freshness | None) -> datetime | timedelta | None:
    """When to look again whether data is late: when it will be, or some time later where it is.

    A sync that succeeds and a change of schedules have it looked at by themselves, so what is late is looked at again
    only for what nobody tells, such as another grace. None: nothing is promised.
    """
    if fresh is None:
        return None
    return _LOOK_AGAIN if fresh.late else fresh.due


def attention(
    integration: Integration, facts: HealthFacts, fresh: Freshness | None, *, workers: int
) -> Attention | None:
    """The most pressing thing about an integration; None where all is well, it is a draft, or a person disabled it.

    workers: how many are alive
    """
    name = shlex.quote(integration.name)
    why, hint = _said(facts)
    if facts.disabled_at is not None:
        todo = f"{hint} Then: orchestrator integrations enable {name}".strip()
        return Attention(cause=Cause.DISABLED, why=f"Disabled after {facts.unmended} failures: {why}", todo=todo)
    if not integration.enabled or integration.setup_state in {SetupState.DRAFT, SetupState.PENDING_AUTH}:
        return None
    if integration.setup_state is SetupState.NEEDS_REAUTH:
        edit = f"orchestrator integrations edit {name}"
        return Attention(cause=Cause.SIGN_IN, why=why, todo=hint if edit in hint else f"{hint} {edit}".strip())
    return _failing_or_late(integration, facts, fresh, workers=workers)


def _failing_or_late(
    integration: Integration, facts: HealthFacts, fresh: Freshness | None, *, workers: int
) -> Attention | None:
    name = shlex.quote(integration.name)
    why, hint = _said(facts)
    why = f"{facts.failures} failures in a row: {why}" if facts.failures > 1 else why
    look = hint or f"orchestrator test {name}"
    if integration.health is Health.FAILING:
        return Attention(cause=Cause.FAILING, why=why, todo=look)
    if fresh is not None and fresh.late:
        todo = f"orchestrator schedules list -i {name}" if workers else "No worker runs: orchestrator worker"
        return Attention(cause=Cause.LATE, why="No sync has succeeded as its schedules say.", todo=todo)
    if integration.health is Health.DEGRADED:
        return Attention(cause=Cause.DEGRADED, why=why, todo=look)
    return None


def _said(facts: HealthFacts) -> tuple[str, str]:
    """What was wrong last, and what to do about it."""
    wrong = facts.trouble or facts.check_trouble
    return (wrong.message, wrong.hint) if wrong else ("Nothing was said.", "")


def pressing(condition: Condition) -> tuple[int, str]:
    """Order of conditions: the most pressing first, then by name."""
    wrong = condition.attention
    return (len(_ORDER) if wrong is None else _ORDER.index(wrong.cause), condition.integration.name)


_ORDER = tuple(Cause)
