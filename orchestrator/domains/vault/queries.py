"""All SQL of the vault. Row-level security holds every statement to the transaction's organization."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, delete, exists, func, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from orchestrator.domains.vault.tables import DataKeyRow, SecretRow
from orchestrator.domains.vault.types import DataKeyUse, Owner, Place, Stored, WrappedDataKey

Cursor = tuple[str, str, str]  # owner table, owner id, field
_START: Cursor = ("", "", "")
_AFRESH = {"populate_existing": True}  # what the database holds now, not what this session saw before


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A stored secret together with the data key it needs, as of one moment."""

    stored: Stored
    key: WrappedDataKey


def hold_keys(tx: Session, org_id: str) -> None:
    """Until this transaction ends, no data key of the organization is retired or deleted; any number may hold."""
    tx.execute(text("SELECT pg_advisory_xact_lock_shared(hashtextextended(:name, 0))"), {"name": f"vault:{org_id}"})


def change_keys(tx: Session, org_id: str) -> None:
    """Until this transaction ends, nobody holds the organization's data keys but us."""
    tx.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"vault:{org_id}"})


def lock_owner(tx: Session, org_id: str, owner: Owner) -> None:
    """Until this transaction ends, nobody else saves secrets of this row."""
    name = f"vault:{org_id}:{owner.table}:{owner.row_id}"
    tx.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": name})


def active_key(tx: Session, org_id: str) -> WrappedDataKey | None:
    """The data key new values are encrypted with."""
    active = select(DataKeyRow).where(DataKeyRow.org_id == org_id, DataKeyRow.state == "active")
    row = tx.scalars(active, execution_options=_AFRESH).one_or_none()
    return None if row is None else _key(row)


def data_keys(tx: Session, org_id: str) -> list[WrappedDataKey]:
    """Every data key, oldest first."""
    every = select(DataKeyRow).where(DataKeyRow.org_id == org_id).order_by(DataKeyRow.version)
    rows = tx.scalars(every, execution_options=_AFRESH)
    return [_key(row) for row in rows]


def next_key_version(tx: Session, org_id: str) -> int:
    """One more than the newest data key's."""
    return (tx.scalar(select(func.max(DataKeyRow.version)).where(DataKeyRow.org_id == org_id)) or 0) + 1


def insert_key(tx: Session, key: WrappedDataKey) -> None:
    """Add an active data key, unless somebody else just did."""
    values = {"org_id": key.org_id, "id": key.id, "version": key.version}
    values |= {"master_key_id": key.master_key_id, "wrapped": key.wrapped}
    tx.execute(insert(DataKeyRow).values(**values).on_conflict_do_nothing())


def retire_active_key(tx: Session, org_id: str) -> None:
    """New values are no longer encrypted with the active data key; what it encrypted still opens."""
    retire = update(DataKeyRow).where(DataKeyRow.org_id == org_id, DataKeyRow.state == "active")
    tx.execute(retire.values(state="retired"))


def store_wrapped(tx: Session, key: WrappedDataKey) -> None:
    """Put a data key under another master key."""
    change = update(DataKeyRow).where(DataKeyRow.org_id == key.org_id, DataKeyRow.id == key.id)
    tx.execute(change.values(master_key_id=key.master_key_id, wrapped=key.wrapped))


def delete_unused_keys(tx: Session, org_id: str) -> int:
    """Delete retired data keys that no secret needs."""
    needed = exists().where(SecretRow.org_id == DataKeyRow.org_id, SecretRow.data_key_id == DataKeyRow.id)
    unused = delete(DataKeyRow).where(DataKeyRow.org_id == org_id, DataKeyRow.state == "retired", ~needed)
    return len(tx.scalars(unused.returning(DataKeyRow.id)).all())


def versions(tx: Session, org_id: str, owner: Owner) -> dict[str, int]:
    """The version of every field that is set."""
    rows = tx.execute(select(SecretRow.field, SecretRow.version).where(*_of(org_id, owner)))
    return {field: version for field, version in rows}  # noqa: C416 - rows are not tuples to mypy


def upsert(tx: Session, stored: Stored) -> None:
    """Save a secret at its place. The caller holds the lock on its owner."""
    place = stored.place
    changed = {"version": place.version, "data_key_id": stored.data_key_id, "blob": stored.blob}
    key = {"org_id": place.org_id, "owner_table": place.owner.table, "owner_id": place.owner.row_id}
    statement = insert(SecretRow).values(**key, field=place.field, **changed)
    tx.execute(
        statement.on_conflict_do_update(
            index_elements=["org_id", "owner_table", "owner_id", "field"],
            set_={**changed, "updated_at": func.clock_timestamp()},
        )
    )


def sealed_of(tx: Session, org_id: str, owner: Owner) -> list[Sealed]:
    """Every secret of a row with its data key, in one statement: a rotation can't come between."""
    together = (SecretRow.org_id == DataKeyRow.org_id) & (SecretRow.data_key_id == DataKeyRow.id)
    pairs = select(SecretRow, DataKeyRow).join(DataKeyRow, together).where(*_of(org_id, owner))
    rows = tx.execute(pairs.order_by(SecretRow.field), execution_options=_AFRESH)
    return [Sealed(stored=_stored(secret), key=_key(key)) for secret, key in rows]


def written_at(tx: Session, org_id: str, owner: Owner) -> dict[str, datetime]:
    """When each field that is set was written."""
    rows = tx.execute(
        select(SecretRow.field, SecretRow.updated_at).where(*_of(org_id, owner)).order_by(SecretRow.field)
    )
    return {field: at for field, at in rows}  # noqa: C416 - rows are not tuples to mypy


def delete_secrets(tx: Session, org_id: str, owner: Owner, fields: Collection[str] | None) -> int:
    """Delete some fields of a row, or all."""
    which = delete(SecretRow).where(*_of(org_id, owner))
    if fields is not None:
        which = which.where(SecretRow.field.in_(fields))
    return len(tx.scalars(which.returning(SecretRow.field)).all())


def under_other_keys(
    tx: Session, org_id: str, key_id: str, *, after: Cursor | None, limit: int, skip_busy: bool
) -> list[Stored]:
    """Secrets that another data key encrypted, locked for change.

    after:      the last place seen, None from the start
    skip_busy:  leave out what somebody else changes right now, rather than wait
    """
    place = tuple_(SecretRow.owner_table, SecretRow.owner_id, SecretRow.field)
    found = select(SecretRow).where(SecretRow.org_id == org_id, SecretRow.data_key_id != key_id)
    found = found.where(place > (after or _START)).order_by(place).limit(limit)
    found = found.with_for_update(skip_locked=skip_busy)
    return [_stored(row) for row in tx.scalars(found, execution_options=_AFRESH)]


def replace_blob(tx: Session, old: Stored, new: Stored) -> None:
    """Swap the blob of a secret that we have locked; place and version stay."""
    place = old.place
    change = update(SecretRow).where(*_of(place.org_id, place.owner), SecretRow.field == place.field)
    tx.execute(change.values(data_key_id=new.data_key_id, blob=new.blob))


def count_under_other_keys(tx: Session, org_id: str, key_id: str) -> int:
    """How many secrets another data key encrypted."""
    count = select(func.count()).select_from(SecretRow)
    return tx.scalar(count.where(SecretRow.org_id == org_id, SecretRow.data_key_id != key_id)) or 0


def uses(tx: Session, org_id: str) -> list[DataKeyUse]:
    """Every data key with the number of secrets it encrypted, oldest first."""
    together = (SecretRow.org_id == DataKeyRow.org_id) & (SecretRow.data_key_id == DataKeyRow.id)
    rows = tx.execute(
        select(DataKeyRow, func.count(SecretRow.field))
        .outerjoin(SecretRow, together)
        .where(DataKeyRow.org_id == org_id)
        .group_by(DataKeyRow.org_id, DataKeyRow.id)
        .order_by(DataKeyRow.version)
    )
    return [
        DataKeyUse(
            id=row.id,
            version=row.version,
            master_key_id=row.master_key_id,
            active=row.state == "active",
            secrets=count,
            created_at=row.created_at,
        )
        for row, count in rows
    ]


def _of(org_id: str, owner: Owner) -> tuple[ColumnElement[bool], ...]:
    return SecretRow.org_id == org_id, SecretRow.owner_table == owner.table, SecretRow.owner_id == owner.row_id


def _stored(row: SecretRow) -> Stored:
    owner = Owner(table=row.owner_table, row_id=row.owner_id)
    place = Place(org_id=row.org_id, owner=owner, field=row.field, version=row.version)
    return Stored(place=place, data_key_id=row.data_key_id, blob=row.blob)


def _key(row: DataKeyRow) -> WrappedDataKey:
    return WrappedDataKey(
        id=row.id,
        org_id=row.org_id,
        version=row.version,
        master_key_id=row.master_key_id,
        wrapped=row.wrapped,
        active=row.state == "active",
    )
