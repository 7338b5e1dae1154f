"""When runs get another attempt: the operator's settings, and what an organization sets instead."""

from collections.abc import Callable

from sqlalchemy.orm import Session

from orchestrator.domains.runs import queries, rules
from orchestrator.domains.runs.events import RetryPolicyChanged
from orchestrator.domains.runs.types import OwnRetryPolicy, RetryPolicy
from orchestrator.drivers.bundle import Drivers
from orchestrator.kernel.events import emit
from orchestrator.kernel.settings import Settings


def policy(tx: Session, settings: Settings) -> RetryPolicy:
    """The policy of the transaction's organization."""
    return rules.effective(queries.retry_policy(tx), _operators(settings))


def retries(drivers: Drivers, org_id: str) -> tuple[RetryPolicy, OwnRetryPolicy]:
    """The policy that holds for an organization, and what of it is its own."""
    with drivers.db.transaction(org_id) as tx:
        return policy(tx, drivers.settings), queries.retry_policy(tx)


def set_retries(drivers: Drivers, org_id: str, change: Callable[[OwnRetryPolicy], OwnRetryPolicy]) -> None:
    """Change an organization's own policy; it holds from the next attempt that fails. Raises RetryPolicyError."""
    with drivers.db.transaction(org_id) as tx:
        changed = change(queries.retry_policy(tx))
        rules.check(changed)
        queries.save_retry_policy(tx, org_id, changed)
        emit(tx, RetryPolicyChanged(org_id=org_id))


def reset_retries(drivers: Drivers, org_id: str) -> None:
    """Leave it to the operator's settings again."""
    with drivers.db.transaction(org_id) as tx:
        queries.forget_retry_policy(tx, org_id)
        emit(tx, RetryPolicyChanged(org_id=org_id))


def _operators(settings: Settings) -> RetryPolicy:
    queue = settings.queue
    return RetryPolicy(attempts=queue.attempts, backoff=queue.backoff, longest=queue.longest_backoff)
