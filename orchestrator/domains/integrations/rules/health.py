"""How an integration is: its health from runs and checks, what failures lead to, and the one word people see."""

from orchestrator.domains.integrations.types import (
    Consequence,
    DisplayStatus,
    Ended,
    Health,
    HealthFacts,
    Integration,
    SetupState,
)

FAILING_AFTER = 3  # runs in a row


def health(facts: HealthFacts) -> Health:
    """The health that these facts amount to.

    failing:   the newest run or check failed and only a person can mend that, or the last three runs failed
    degraded:  the newest run failed or left records out, or the newest check failed
    healthy:   the newest run succeeded, or none has ended yet and a check passed
    unknown:   neither a run nor a check has ended since it was added or enabled
    """
    troubles = [one for one in (facts.trouble, facts.check_trouble) if one is not None]
    if facts.failures >= FAILING_AFTER or any(one.needs_a_person for one in troubles):
        return Health.FAILING
    if troubles or facts.last in {Ended.FAILED, Ended.PARTIAL}:
        return Health.DEGRADED
    if facts.last is Ended.SUCCEEDED or facts.checked_at is not None:
        return Health.HEALTHY
    return Health.UNKNOWN


def consequence(facts: HealthFacts, *, disable_after: int | None) -> Consequence:
    """What the failure that was just counted leads to. Nothing is disabled that was not warned of before.

    Only failures that a person must mend count, and of them those of its own source, sign-in and settings. One that
    passes by itself, or a warehouse whose password has changed, would switch off integrations by the hundred, and
    somebody would have to switch on each of them when all is well again.

    disable_after:  the installation's limit, for integrations without one of their own; None: never
    """
    limit = disable_after_of(facts, disable_after)
    if limit is None or facts.last is not Ended.FAILED or facts.trouble is None or not facts.trouble.counts:
        return Consequence.NONE
    if facts.warned_at is not None:
        return Consequence.DISABLE if facts.unmended >= limit else Consequence.NONE
    return Consequence.WARN if facts.unmended >= (limit + 1) // 2 else Consequence.NONE


def disable_after_of(facts: HealthFacts, installation: int | None) -> int | None:
    """After how many failures it is disabled; None: never."""
    limit = installation if facts.disable_after is None else facts.disable_after
    return limit or None


def display_status(integration: Integration) -> DisplayStatus:
    """The word people see, from set-up, switch and health."""
    if integration.setup_state in {SetupState.DRAFT, SetupState.PENDING_AUTH}:
        return DisplayStatus.CONNECTING
    if integration.setup_state in {SetupState.DISCONNECTED, SetupState.REVOKED} or not integration.enabled:
        return DisplayStatus.DISCONNECTED
    if integration.setup_state is SetupState.NEEDS_REAUTH or integration.health is Health.FAILING:
        return DisplayStatus.NEEDS_ATTENTION
    return DisplayStatus.CONNECTED
