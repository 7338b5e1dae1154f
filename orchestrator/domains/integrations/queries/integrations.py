"""Integrations, destinations and streams."""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from orchestrator.domains.integrations.tables import DestinationRow, IntegrationRow, StreamRow
from orchestrator.domains.integrations.types import Destination, Health, Integration, Mode, SetupState, Stream
from orchestrator.kernel import ids


def _integration(row: IntegrationRow) -> Integration:
    return Integration(
        org_id=row.org_id,
        id=row.id,
        workspace_id=row.workspace_id,
        type=row.type,
        variant=row.variant,
        name=row.name,
        config=row.config,
        credential_id=row.credential_id,
        destination_id=row.destination_id,
        target_schema=row.target_schema,
        setup_state=SetupState(row.setup_state),
        enabled=row.enabled,
        health=Health(row.health),
        tested_at=row.tested_at,
        discovered_at=row.discovered_at,
        created_at=row.created_at,
        updated_at=row.updated_at,
        deleted_at=row.deleted_at,
    )


def _destination(row: DestinationRow) -> Destination:
    return Destination(
        org_id=row.org_id, id=row.id, type=row.type, variant=row.variant, name=row.name, config=row.config
    )


def _stream(row: StreamRow) -> Stream:
    return Stream(
        name=row.name,
        selected=row.selected,
        mode=Mode(row.mode),
        deselected_fields=tuple(row.deselected_fields),
        entry=row.entry,
        discovered_at=row.discovered_at,
        gone_at=row.gone_at,
    )


def integrations(tx: Session, *, deleted: bool = False) -> list[Integration]:
    """The organization's integrations by name; with `deleted`, only those that were deleted."""
    which = IntegrationRow.deleted_at.is_not(None) if deleted else IntegrationRow.deleted_at.is_(None)
    return [_integration(row) for row in tx.scalars(select(IntegrationRow).where(which).order_by(IntegrationRow.name))]


def integration(tx: Session, integration_id: str) -> Integration | None:
    """The integration of this id, deleted or not."""
    row = tx.scalars(select(IntegrationRow).where(IntegrationRow.id == integration_id)).one_or_none()
    return None if row is None else _integration(row)


def integrations_like(tx: Session, wanted: str, *, deleted: bool = False) -> list[Integration]:
    """Those whose name is `wanted`; where none is, those whose id starts so."""
    which = IntegrationRow.deleted_at.is_not(None) if deleted else IntegrationRow.deleted_at.is_(None)
    named = select(IntegrationRow).where(which, IntegrationRow.name == wanted)
    rows = list(tx.scalars(named))
    if not rows:
        try:
            low, high = ids.bounds("int", wanted)
        except ValueError:
            return []
        between = IntegrationRow.id.between(ids.encode("int", low), ids.encode("int", high))
        rows = list(tx.scalars(select(IntegrationRow).where(which, between).order_by(IntegrationRow.id)))
    return [_integration(row) for row in rows]


def schemas_taken(tx: Session, destination_id: str) -> list[str]:
    """Schemas of this destination's integrations, the deleted ones' too: their tables may still be there.

    In the installation's own warehouse there may be more, of organizations that nobody here may know of.
    """
    return list(tx.scalars(select(IntegrationRow.target_schema).where(IntegrationRow.destination_id == destination_id)))


def insert_integration(tx: Session, **values: Any) -> Integration:
    """Add an integration; raises IntegrityError where its name or schema is taken."""
    row = tx.scalars(insert(IntegrationRow).values(**values).returning(IntegrationRow)).one()
    return _integration(row)


def update_integration(tx: Session, integration_id: str, **values: Any) -> Integration:
    """Change some columns."""
    change = update(IntegrationRow).where(IntegrationRow.id == integration_id)
    row = tx.scalars(
        change.values(**values, updated_at=func.clock_timestamp()).returning(IntegrationRow),
        execution_options={"populate_existing": True},
    ).one()
    return _integration(row)


def note_tested(tx: Session, integration_id: str) -> None:
    """Note that it was tested now, by the database's clock."""
    update_integration(tx, integration_id, tested_at=func.clock_timestamp())


def note_discovered(tx: Session, integration_id: str) -> None:
    """Note that the source was asked for its streams now, by the database's clock."""
    update_integration(tx, integration_id, discovered_at=func.clock_timestamp())


def hold(tx: Session, integration_id: str) -> None:
    """Lock the integration until the transaction ends; a run inserted meanwhile waits for its foreign key."""
    tx.execute(select(IntegrationRow.id).where(IntegrationRow.id == integration_id).with_for_update())


def move_setup(tx: Session, integration_id: str, *, before: SetupState, after: SetupState) -> None:
    """Change the set-up state if it still is `before`."""
    change = update(IntegrationRow).where(
        IntegrationRow.id == integration_id, IntegrationRow.setup_state == before.value
    )
    tx.execute(change.values(setup_state=after.value, updated_at=func.clock_timestamp()))


def mark_deleted(tx: Session, integration_id: str) -> None:
    """Note that it was deleted, and when."""
    change = update(IntegrationRow).where(IntegrationRow.id == integration_id, IntegrationRow.deleted_at.is_(None))
    tx.execute(change.values(deleted_at=func.clock_timestamp()))


def ensure_destination(tx: Session, org_id: str, **values: Any) -> None:
    """Add a destination unless one of this name is there."""
    row = insert(DestinationRow).values(org_id=org_id, id=ids.new("dst"), **values)
    tx.execute(row.on_conflict_do_nothing())


def insert_destination(tx: Session, **values: Any) -> Destination:
    """Add a destination; raises IntegrityError where its name is taken."""
    return _destination(tx.scalars(insert(DestinationRow).values(**values).returning(DestinationRow)).one())


def destinations(tx: Session) -> list[Destination]:
    """The organization's destinations by name."""
    wanted = select(DestinationRow).where(DestinationRow.deleted_at.is_(None)).order_by(DestinationRow.name)
    return [_destination(row) for row in tx.scalars(wanted)]


def destination(tx: Session, destination_id: str) -> Destination:
    """The destination of this id."""
    return _destination(tx.scalars(select(DestinationRow).where(DestinationRow.id == destination_id)).one())


def streams(tx: Session, integration_id: str) -> list[Stream]:
    """Every stream discovery has found, those gone since included, by name."""
    wanted = select(StreamRow).where(StreamRow.integration_id == integration_id).order_by(StreamRow.name)
    return [_stream(row) for row in tx.scalars(wanted)]


def stream_counts(tx: Session) -> dict[str, tuple[int, int]]:
    """Selected and existing streams of every integration that has any."""
    selected = func.count().filter(StreamRow.selected)
    counted = select(StreamRow.integration_id, selected, func.count()).where(StreamRow.gone_at.is_(None))
    rows = tx.execute(counted.group_by(StreamRow.integration_id))
    return {integration_id: (chosen, total) for integration_id, chosen, total in rows}


def delete_draft(tx: Session, integration_id: str) -> bool:
    """Remove a draft and its streams for good; whether there was one. Raises IntegrityError where it has a history."""
    gone = delete(IntegrationRow).where(
        IntegrationRow.id == integration_id, IntegrationRow.setup_state == SetupState.DRAFT
    )
    return tx.scalar(gone.returning(IntegrationRow.id)) is not None


def save_streams(
    tx: Session, org_id: str, integration_id: str, found: Mapping[str, tuple[Mode, Mapping[str, Any], bool]]
) -> None:
    """Store what discovery found: name → (mode, entry, selected). What people chose before stays as it was."""
    if found:
        rows = [
            {
                "org_id": org_id,
                "integration_id": integration_id,
                "name": name,
                "mode": mode.value,
                "entry": dict(entry),
                "selected": selected,
            }
            for name, (mode, entry, selected) in found.items()
        ]
        added = insert(StreamRow)
        tx.execute(
            added.on_conflict_do_update(
                index_elements=["org_id", "integration_id", "name"],
                set_={"entry": added.excluded.entry, "discovered_at": func.clock_timestamp(), "gone_at": None},
            ),
            rows,
        )
    gone = update(StreamRow).where(
        StreamRow.integration_id == integration_id, StreamRow.name.not_in(found), StreamRow.gone_at.is_(None)
    )
    tx.execute(gone.values(gone_at=func.clock_timestamp()))


def change_streams(tx: Session, integration_id: str, names: Iterable[str], **values: Any) -> None:
    """Set columns of these streams."""
    change = update(StreamRow).where(StreamRow.integration_id == integration_id, StreamRow.name.in_(list(names)))
    tx.execute(change.values(**values))
