"""An organization's own retry policy; what it leaves open is the operator's."""

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from orchestrator.domains.runs.tables import RetryPolicyRow
from orchestrator.domains.runs.types import FailureKind, OwnRetryPolicy


def retry_policy(tx: Session) -> OwnRetryPolicy:
    """What the transaction's organization has set."""
    row = tx.scalars(select(RetryPolicyRow)).one_or_none()
    if row is None:
        return OwnRetryPolicy()
    kinds = None if row.kinds is None else frozenset(map(FailureKind, row.kinds))
    return OwnRetryPolicy(attempts=row.attempts, backoff=row.backoff, longest=row.longest, kinds=kinds)


def save_retry_policy(tx: Session, org_id: str, policy: OwnRetryPolicy) -> None:
    """Set it, in the place of what was set before."""
    values = {
        "attempts": policy.attempts,
        "backoff": policy.backoff,
        "longest": policy.longest,
        "kinds": None if policy.kinds is None else sorted(policy.kinds),
    }
    added = insert(RetryPolicyRow).values(org_id=org_id, **values)
    changes = {**values, "updated_at": func.clock_timestamp()}
    tx.execute(added.on_conflict_do_update(index_elements=[RetryPolicyRow.org_id], set_=changes))


def forget_retry_policy(tx: Session, org_id: str) -> None:
    """Leave everything to the operator again; harmless where nothing was set."""
    tx.execute(delete(RetryPolicyRow).where(RetryPolicyRow.org_id == org_id))
