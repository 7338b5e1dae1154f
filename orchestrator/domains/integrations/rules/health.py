"""The one word people see of an integration, and its health."""

from orchestrator.domains.integrations.types import DisplayStatus, Health, Integration, SetupState


def display_status(integration: Integration) -> DisplayStatus:
    """The word people see, from set-up, switch and health."""
    if integration.setup_state in {SetupState.DRAFT, SetupState.PENDING_AUTH}:
        return DisplayStatus.CONNECTING
    if integration.setup_state in {SetupState.DISCONNECTED, SetupState.REVOKED} or not integration.enabled:
        return DisplayStatus.DISCONNECTED
    if integration.setup_state is SetupState.NEEDS_REAUTH or integration.health is Health.FAILING:
        return DisplayStatus.NEEDS_ATTENTION
    return DisplayStatus.CONNECTED
