"""SQL of the catalog: the table of providers."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from orchestrator.domains.catalog.tables import ProviderRow
from orchestrator.domains.catalog.types import Connector

_FROM_FILE = ("kind", "title", "publisher", "category", "description", "status", "file_sha256")


class Switch(NamedTuple):
    """The operator's own choices for one connector."""

    available: bool
    plan: str


def upsert(tx: Session, connectors: Iterable[Connector]) -> None:
    """Bring the table in line with the files; rows whose file is unchanged are not touched.

    `available` and `plan` of a row that is there already stay the operator's.
    """
    rows = [_row(connector) for connector in connectors]
    if not rows:
        return
    statement = insert(ProviderRow).values(rows)
    changes = {name: statement.excluded[name] for name in _FROM_FILE}
    tx.execute(
        statement.on_conflict_do_update(
            index_elements=[ProviderRow.name],
            set_={**changes, "synced_at": func.clock_timestamp()},
            where=ProviderRow.file_sha256 != statement.excluded.file_sha256,
        )
    )


def switches(tx: Session) -> Mapping[str, Switch]:
    """The operator's choices by connector name."""
    rows = tx.execute(select(ProviderRow.name, ProviderRow.available, ProviderRow.plan))
    return {name: Switch(available=available, plan=plan) for name, available, plan in rows}


def _row(connector: Connector) -> dict[str, str]:
    return {
        "name": connector.name,
        "kind": connector.kind.value,
        "title": connector.title,
        "publisher": connector.publisher,
        "category": connector.category,
        "description": connector.description,
        "status": connector.status.value,
        "plan": connector.plan,
        "file_sha256": connector.sha256,
    }
