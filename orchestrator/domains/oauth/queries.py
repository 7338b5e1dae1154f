"""All SQL of credentials. Times are the database's."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, func, literal, select, update
from sqlalchemy.orm import Session

from orchestrator.domains.oauth.errors import CredentialNotFoundError
from orchestrator.domains.oauth.tables import CredentialRow
from orchestrator.domains.oauth.types import Credential, CredentialStatus, Standing
from orchestrator.kernel import ids

_NOW = func.clock_timestamp()


def insert(tx: Session, org_id: str, *, provider: str, auth_type: str | None) -> Credential:
    """Add a credential."""
    row = CredentialRow(org_id=org_id, id=ids.new("cred"), provider=provider, auth_type=auth_type)
    tx.add(row)
    tx.flush()
    tx.refresh(row)
    return _value(row)


def delete_credential(tx: Session, org_id: str, credential_id: str) -> None:
    """Remove a credential for good."""
    tx.execute(delete(CredentialRow).where(*_at(org_id, credential_id)))


def standing(tx: Session, org_id: str, credential_id: str) -> Standing:
    """A credential and what may be done with it now. Raises CredentialNotFoundError."""
    cooling = func.greatest(func.coalesce(CredentialRow.refresh_not_before - _NOW, timedelta(0)), timedelta(0))
    query = select(
        CredentialRow,
        func.coalesce(CredentialRow.access_refresh_at > _NOW, literal(value=False)),
        func.coalesce(CredentialRow.access_expires_at > _NOW, literal(value=False)),
        func.coalesce(CredentialRow.refresh_lease_until > _NOW, literal(value=False)),
        cooling,
    ).where(*_at(org_id, credential_id))
    found = tx.execute(query, execution_options={"populate_existing": True}).one_or_none()
    if found is None:
        raise CredentialNotFoundError(credential_id)
    row, fresh, alive, leased, wait = found
    return Standing(credential=_value(row), fresh=fresh, alive=alive, leased=leased, cooling=wait)


def take_lease(tx: Session, org_id: str, credential_id: str, *, version: int, seconds: timedelta) -> datetime | None:
    """Be the one who renews, if the tokens are still those of `version` and nobody else is renewing."""
    free = CredentialRow.refresh_lease_until.is_(None) | (CredentialRow.refresh_lease_until <= _NOW)
    change = update(CredentialRow).where(*_at(org_id, credential_id), CredentialRow.token_version == version, free)
    return tx.scalar(
        change.values(refresh_lease_until=_NOW + seconds).returning(CredentialRow.refresh_lease_until),
        execution_options={"synchronize_session": False},
    )


def release_lease(
    tx: Session, org_id: str, credential_id: str, lease: datetime, *, wait: timedelta | None = None
) -> None:
    """Let others renew, unless they took over already; `wait`: nobody before then."""
    values: dict[str, Any] = {"refresh_lease_until": None}
    if wait is not None:
        values["refresh_not_before"] = _NOW + wait
    change = update(CredentialRow).where(*_at(org_id, credential_id), CredentialRow.refresh_lease_until == lease)
    tx.execute(change.values(**values), execution_options={"synchronize_session": False})


def store_tokens(
    tx: Session,
    org_id: str,
    credential_id: str,
    *,
    version: int,
    life: timedelta,
    renew_after: timedelta,
    instance_url: str | None,
    scopes: tuple[str, ...] | None,
) -> int | None:
    """Move on to the next version, if the tokens are still those of `version`; answers the new one."""
    values: dict[str, Any] = {
        "access_expires_at": _NOW + life,
        "access_refresh_at": _NOW + renew_after,
        "instance_url": instance_url,
        "status": CredentialStatus.ACTIVE,
        "status_reason": None,
        "refresh_not_before": None,
    }
    if scopes is not None:
        values["granted_scopes"] = list(scopes)
    return _move_on(tx, org_id, credential_id, version, values)


def store_refused(tx: Session, org_id: str, credential_id: str, *, version: int, reason: str) -> int | None:
    """A person has to sign in again, if the tokens are still those of `version`."""
    values = {"status": CredentialStatus.NEEDS_REAUTH, "status_reason": reason}
    return _move_on(tx, org_id, credential_id, version, values)


def store_changed(tx: Session, org_id: str, credential_id: str, *, auth_type: str | None = None) -> None:
    """New secrets were entered: the old access token is no longer used. Raises CredentialNotFoundError."""
    values: dict[str, Any] = {
        "access_expires_at": None,
        "access_refresh_at": None,
        "status": CredentialStatus.ACTIVE,
        "status_reason": None,
        "refresh_not_before": None,
    }
    if auth_type is not None:
        values["auth_type"] = auth_type
    if _move_on(tx, org_id, credential_id, None, values) is None:
        raise CredentialNotFoundError(credential_id)


def _move_on(tx: Session, org_id: str, credential_id: str, version: int | None, values: dict[str, Any]) -> int | None:
    change = update(CredentialRow).where(*_at(org_id, credential_id))
    if version is not None:
        change = change.where(CredentialRow.token_version == version)
    moved = change.values(
        **values, token_version=CredentialRow.token_version + 1, refresh_lease_until=None, updated_at=_NOW
    )
    return tx.scalar(moved.returning(CredentialRow.token_version), execution_options={"synchronize_session": False})


def _at(org_id: str, credential_id: str) -> tuple[ColumnElement[bool], ...]:
    try:
        ids.decode("cred", credential_id)
    except ValueError:
        raise CredentialNotFoundError(credential_id) from None
    return CredentialRow.org_id == org_id, CredentialRow.id == credential_id


def _value(row: CredentialRow) -> Credential:
    return Credential(
        id=row.id,
        org_id=row.org_id,
        provider=row.provider,
        auth_type=row.auth_type,
        status=CredentialStatus(row.status),
        status_reason=row.status_reason,
        granted_scopes=None if row.granted_scopes is None else tuple(row.granted_scopes),
        instance_url=row.instance_url,
        access_expires_at=row.access_expires_at,
        token_version=row.token_version,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
